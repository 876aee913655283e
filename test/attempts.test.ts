/** How often something is tried, and how long one try may take. */
import { expect, test } from 'vitest';
import { AttemptTimeoutError, attempt, Retry, type RetryPolicy } from '../src/attempts.ts';

/** The waits between tries of something that always fails, a try taking no time. */
function waits(policy: RetryPolicy, error: unknown = new Error('x'), tries = 20): number[] {
  const retry = new Retry(policy);
  const found: number[] = [];
  for (let now = 0; found.length < tries; ) {
    retry.begin(now);
    const delayMs = retry.delayMs(error, now);
    if (delayMs === undefined) return found;
    found.push(delayMs);
    now += delayMs;
  }
  return found;
}

test('waits double up to maxMs, give or take a fifth, and end with maxAttempts', () => {
  const found = waits({ initialMs: 100, maxMs: 500, maxAttempts: 6 });
  [100, 200, 400, 500, 500].forEach((ms, i) => {
    expect(found[i]).toBeGreaterThanOrEqual(ms * 0.8);
    expect(found[i]).toBeLessThanOrEqual(ms * 1.2);
  });
  expect(found).toHaveLength(5);
});

test('by default there are five tries', () => {
  expect(waits({ initialMs: 1 })).toHaveLength(4);
});

test('a time instead of a number of tries: no try begins after it', () => {
  const found = waits({ initialMs: 100, maxMs: 100, maxElapsedMs: 1_000 }, undefined, 100);
  const total = found.reduce((sum, ms) => sum + ms, 0);
  expect(total).toBeLessThanOrEqual(1_000);
  expect(total).toBeGreaterThan(1_000 - 120);
});

test('an error says whether it is worth another try, and when at the earliest', () => {
  expect(waits({}, Object.assign(new Error(), { retriable: false }))).toEqual([]);
  expect(waits({ initialMs: 1, maxAttempts: 2 }, { retryAfterMs: 7_000 })).toEqual([7_000]);
  expect(waits({ initialMs: 1, maxElapsedMs: 5_000 }, { retryAfterMs: 7_000 })).toEqual([]);
});

test('the policy’s own opinion comes before the error’s', () => {
  const error = Object.assign(new Error(), { retriable: false });
  expect(waits({ initialMs: 1, maxAttempts: 3, retriable: () => true }, error)).toHaveLength(2);
  expect(waits({ retriable: () => false })).toEqual([]);
});

const never = new AbortController().signal;

test('a try ends with its time, and its signal says so', async () => {
  let told: unknown;
  const trying = attempt(
    (signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          told = signal.reason;
          reject(signal.reason);
        });
      }),
    1,
    never,
  );
  await expect(trying).rejects.toBeInstanceOf(AttemptTimeoutError);
  expect(told).toMatchObject({ code: 'MILLRACE_ATTEMPT_TIMEOUT', retriable: true });
});

test('a try that heeds no signal ends with its time all the same, and what comes later is ignored', async () => {
  let finish = (_error: Error): void => {};
  const trying = attempt(() => new Promise<void>((_resolve, reject) => (finish = reject)), 1, never);
  await expect(trying).rejects.toBeInstanceOf(AttemptTimeoutError);
  finish(new Error('too late'));
});

test('a try ends when its task is closed', async () => {
  const closed = new AbortController();
  const trying = attempt(() => new Promise<void>(() => {}), Number.POSITIVE_INFINITY, closed.signal);
  closed.abort(new Error('closed'));
  await expect(trying).rejects.toThrow('closed');
  await expect(attempt(() => 1, 1, closed.signal)).rejects.toThrow('closed');
});

test('what is thrown at once, and what is no promise, come as a promise’s would', async () => {
  await expect(
    attempt(
      () => {
        throw new Error('at once');
      },
      1_000,
      never,
    ),
  ).rejects.toThrow('at once');
  expect(await attempt(() => 7, 1_000, never)).toBe(7);
});

/** Waiting, for longer than a timer can be too. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { delay } from '../src/backoff.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('a delay beyond what a timer of Node can be is as long as it says', async () => {
  let ended = false;
  void delay(3_000_000_000).then(() => {
    ended = true;
  });
  await vi.advanceTimersByTimeAsync(2_999_999_999);
  expect(ended).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(ended).toBe(true);
});

test('a signal ends it at once, and leaves no timer behind', async () => {
  const stop = new AbortController();
  const waiting = delay(3_000_000_000, stop.signal);
  await vi.advanceTimersByTimeAsync(2_500_000_000);
  stop.abort();
  await waiting;
  expect(vi.getTimerCount()).toBe(0);
});

/** Tests in virtual time: timers and the clock stand still until a test moves them on. */
import { vi } from 'vitest';

export function useVirtualTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'] });
}

/** Moves time on until the promise settles. @throws what it rejects with; Error it does not settle within `ms` */
export async function settled<T>(promise: Promise<T>, ms = 600_000): Promise<T> {
  let isSettled = false;
  const done = (): void => {
    isSettled = true;
  };
  promise.then(done, done);
  await vi.advanceTimersByTimeAsync(0);
  for (let passed = 0; !isSettled; passed += 20) {
    if (passed > ms) throw new Error(`not settled within ${ms} ms of virtual time`);
    await vi.advanceTimersByTimeAsync(20);
  }
  return promise;
}

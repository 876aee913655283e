/** What the globals were before virtual time took their place: for the kernel's own use between events and runs. */
import { createRequire } from 'node:module';

interface TickRunner {
  _tickCallback?: () => void;
}

const { setImmediate: realImmediate, setTimeout: realTimeout, clearTimeout: realClear } = globalThis;
const hrtime = process.hrtime.bigint.bind(process.hrtime);
const { now } = Date;

export const real = {
  setImmediate: realImmediate,
  setTimeout: realTimeout,
  clearTimeout: realClear,
  /** ms since the epoch, by the machine's clock. */
  nowMs: (): number => now(),
  /** ms since some time, monotonic. */
  monotonicMs: (): number => Number(hrtime()) / 1e6,
};

/**
 * Runs every nextTick and microtask that waits, and those that they make, and reports unhandled rejections: what Node does
 * between two callbacks of its event loop. 17 ns where nothing waits, where a turn of `setImmediate` takes 530; and no
 * real I/O or timer can come between two events, since the event loop does not turn.
 *
 * To be called from a callback of the event loop, not from a microtask (which would drain nothing).
 */
export const drainMicrotasks: () => void = (() => {
  const run = (process as unknown as TickRunner)._tickCallback;
  if (run === undefined) throw new Error('This Node has no process._tickCallback, which the simulation drains with.');
  return run.bind(process);
})();

/** CommonJS modules as kafkajs sees them. */
export const requireBuiltin = createRequire(import.meta.url);

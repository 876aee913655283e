/**
 * Puts virtual time and seeded randomness in the place of Node's, for all code in this process: ESM imports of builtins
 * follow through `syncBuiltinESMExports`, kafkajs requires the same objects.
 */
import { syncBuiltinESMExports } from 'node:module';
import type { Kernel } from './kernel.ts';
import { requireBuiltin } from './real.ts';
import { SimulatedTimers } from './timers.ts';

type Replaceable = Record<string, unknown>;

/** What else is put in place, by module and name: the network. */
export type Replacements = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Returns how to put everything back. */
export function installGlobals(kernel: Kernel, more: Replacements = {}): () => void {
  const undo: (() => void)[] = [];
  const replace = (target: object, name: string, value: unknown): void => {
    const before = Object.getOwnPropertyDescriptor(target, name);
    Object.defineProperty(target, name, {
      value,
      configurable: true,
      writable: true,
      enumerable: before?.enumerable ?? true,
    });
    undo.push(() => {
      if (before === undefined) delete (target as Replaceable)[name];
      else Object.defineProperty(target, name, before);
    });
  };
  const replaceAll = (target: object, values: Readonly<Record<string, unknown>>): void => {
    for (const [name, value] of Object.entries(values)) replace(target, name, value);
  };
  const timers = new SimulatedTimers(kernel);
  const functions = {
    setTimeout: timers.setTimeout,
    setInterval: timers.setInterval,
    setImmediate: timers.setImmediate,
    clearTimeout: timers.clear,
    clearInterval: timers.clear,
    clearImmediate: timers.clear,
  };
  replaceAll(globalThis, functions);
  replaceAll(requireBuiltin('node:timers') as object, functions);
  replaceAll(requireBuiltin('node:timers/promises') as object, timers.promises);
  const { nextTick } = process;
  // What a tick throws must not reach Node's own loop over the ticks, which would be left half done.
  replace(process, 'nextTick', (callback: (...args: unknown[]) => void, ...args: unknown[]) =>
    nextTick(() => kernel.guarded(() => callback(...args))),
  );
  replace(AbortSignal, 'timeout', (ms: number) => timeoutSignal(timers, ms));
  replaceClock(kernel, replace);
  replaceRandomness(kernel, replace, replaceAll);
  for (const [module, values] of Object.entries(more)) replaceAll(requireBuiltin(module) as object, values);
  syncBuiltinESMExports();
  return () => {
    for (const step of undo.reverse()) step();
    syncBuiltinESMExports();
  };
}

function timeoutSignal(timers: SimulatedTimers, ms: number): AbortSignal {
  const controller = new AbortController();
  const reason = new DOMException('The operation was aborted due to timeout', 'TimeoutError');
  timers.setTimeout(() => controller.abort(reason), ms).unref();
  return controller.signal;
}

type Replace = (target: object, name: string, value: unknown) => void;

function replaceClock(kernel: Kernel, replace: Replace): void {
  const RealDate = Date;
  replace(RealDate, 'now', () => kernel.wallMs());
  replace(
    globalThis,
    'Date',
    new Proxy(RealDate, {
      construct: (target, args, newTarget) =>
        Reflect.construct(target, args.length === 0 ? [kernel.wallMs()] : args, newTarget) as object,
      apply: () => new RealDate(kernel.wallMs()).toString(),
    }),
  );
  replace(performance, 'now', () => kernel.monotonicUs() / 1000);
  const nanoseconds = (): bigint => BigInt(kernel.monotonicUs()) * 1000n;
  const hrtime = (since?: readonly [number, number]): [number, number] => {
    const now = nanoseconds() - (since === undefined ? 0n : BigInt(since[0]) * 1_000_000_000n + BigInt(since[1]));
    return [Number(now / 1_000_000_000n), Number(now % 1_000_000_000n)];
  };
  replace(process, 'hrtime', Object.assign(hrtime, { bigint: nanoseconds }));
  replace(process, 'uptime', () => kernel.monotonicUs() / 1e6);
}

function replaceRandomness(
  kernel: Kernel,
  replace: Replace,
  replaceAll: (target: object, values: Readonly<Record<string, unknown>>) => void,
): void {
  const fill = <T extends ArrayBufferView>(target: T): T => {
    const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
    for (let i = 0; i < bytes.length; i++) bytes[i] = kernel.owner.random.int(0, 255);
    return target;
  };
  const randomUUID = (): string => {
    const bytes = fill(Buffer.alloc(16));
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  };
  const randomBytes = (size: number, callback?: (error: null, bytes: Buffer) => void): Buffer | undefined => {
    const bytes = fill(Buffer.alloc(size));
    if (callback === undefined) return bytes;
    process.nextTick(callback, null, bytes);
    return undefined;
  };
  const randomInt = (least: number, most?: number): number =>
    most === undefined ? kernel.owner.random.int(0, least - 1) : kernel.owner.random.int(least, most - 1);
  replace(Math, 'random', () => kernel.owner.random.next());
  replaceAll(requireBuiltin('node:crypto') as object, {
    randomUUID,
    randomBytes,
    randomInt,
    randomFillSync: fill,
  });
  replaceAll(globalThis.crypto, { randomUUID, getRandomValues: fill });
}

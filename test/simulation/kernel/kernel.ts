/**
 * Virtual time: a heap of events, run one after the other. One event is one synchronous call and all nextTicks and
 * microtasks that follow from it; real time, real I/O and the real event loop have no part in a run.
 */
import { EventHeap, type EventKind, KernelEvent } from './event-heap.ts';
import { Owner } from './owner.ts';
import { RandomStreams } from './random.ts';
import { drainMicrotasks, real } from './real.ts';

/** The virtual clock at the start: 2030-01-01, ms since the epoch. */
export const EPOCH_MS = Date.UTC(2030, 0, 1);
/** µs from a setImmediate to its turn: a loop that only waits for the next turn moves time on, however little. */
export const TURN_US = 20;

/** What code under test let escape, and who it was. */
export interface Escape {
  readonly owner: Owner;
  readonly kind: 'uncaughtException' | 'unhandledRejection';
  readonly error: unknown;
}

/** What `call` rejects with where its owner is killed meanwhile. */
export class OwnerKilledError extends Error {
  constructor(owner: Owner) {
    super(`${owner.name} was killed`);
  }
}

export class Kernel {
  readonly random: RandomStreams;
  /** Events of the machine's own: what an operating system does while its processes sleep. */
  readonly wire: Owner;
  /** The simulation itself. */
  readonly harness: Owner;
  /** Who runs. */
  owner: Owner;
  nowUs = 0;
  /** Keeps where each timer was set: slow. */
  keepsStacks = false;
  events = 0;
  /** Called for what nobody caught; the process that let it escape is not killed here. */
  onEscape: (escaped: Escape) => void = ({ error }) => {
    throw error;
  };
  readonly #heap = new EventHeap();
  #sequence = 0;
  #owners = 0;
  /** Operations of the real world that virtual time waits for, in the order of their start; undefined: not done yet. */
  #outside: ((() => void) | undefined)[] = [];
  #outsideOpen = 0;
  #onOutsideDone: (() => void) | undefined;

  constructor(seed: string) {
    this.random = new RandomStreams(seed);
    this.wire = this.createOwner('wire', 'wire');
    this.harness = this.createOwner('harness', 'harness');
    this.owner = this.harness;
  }

  createOwner(name: string, machine: string): Owner {
    return new Owner(this.#owners++, name, machine, this.random.of(`process ${name}`));
  }

  /** ms since the epoch by the wall clock of the running process. */
  wallMs(): number {
    const { owner } = this;
    owner.spentUs += owner.lookUs;
    return EPOCH_MS + Math.floor((this.nowUs + owner.spentUs) / 1000 + owner.clockOffsetMs);
  }

  /** µs by the monotonic clock of the running process. */
  monotonicUs(): number {
    const { owner } = this;
    owner.spentUs += owner.lookUs;
    return this.nowUs + owner.spentUs;
  }

  /** Hot. Plans an event for a process. */
  schedule(delayUs: number, owner: Owner, kind: EventKind, run: () => void): KernelEvent {
    const event = new KernelEvent(this.nowUs + Math.max(0, Math.round(delayUs)), this.#sequence++, owner, kind, run);
    if (this.keepsStacks && kind === 'timer') event.stack = new Error().stack;
    this.#heap.push(event);
    return event;
  }

  cancel(event: KernelEvent | undefined): void {
    if (event !== undefined) event.run = undefined;
  }

  /** Resolves after some virtual time, in an event of the process that asks. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.schedule(ms * 1000, this.owner, 'call', resolve));
  }

  /**
   * Lets a process do something, in an event of its own; the answer comes back in an event of the caller.
   * @throws OwnerKilledError it was killed before it had the answer
   */
  call<T>(owner: Owner, run: () => T | Promise<T>): Promise<T> {
    const caller = this.owner;
    return new Promise((resolve, reject) => {
      const back = (answer: () => void): void => void this.schedule(0, caller, 'call', answer);
      if (!owner.alive) {
        back(() => reject(new OwnerKilledError(owner)));
        return;
      }
      owner.onKill.push(() => back(() => reject(new OwnerKilledError(owner))));
      this.schedule(0, owner, 'call', () => {
        try {
          const answer = run();
          if (answer instanceof Promise)
            answer.then(
              (value) => back(() => resolve(value)),
              (error: unknown) => back(() => reject(error)),
            );
          else back(() => resolve(answer));
        } catch (error) {
          back(() => reject(error));
        }
      });
    });
  }

  /** From now on nothing of this process runs. What the system does about its sockets and files is up to `onKill`. */
  kill(owner: Owner): void {
    if (!owner.alive) return;
    owner.alive = false;
    owner.held = [];
    for (const run of owner.onKill.splice(0)) run();
  }

  /**
   * To be called before each effect of a process on the world outside; false: the process is dead, nothing may happen.
   * A fuse burns down here, so that a process can be killed between two writes of one event.
   */
  mayAct(owner: Owner): boolean {
    if (owner.fuse !== undefined && --owner.fuse < 0) {
      owner.fuse = undefined;
      this.kill(owner);
    }
    return owner.alive;
  }

  /** Stops a process where it is, as SIGSTOP or a long collection of garbage do; the world goes on. */
  pause(owner: Owner): void {
    owner.paused = true;
  }

  /** What came due meanwhile runs now: timers first or I/O first, as it happens. */
  resume(owner: Owner): void {
    if (!owner.paused) return;
    owner.paused = false;
    owner.resumedUs = this.nowUs;
    const { held } = owner;
    owner.held = [];
    const first: EventKind = owner.random.chance(0.5) ? 'timer' : 'io';
    for (const event of [...held.filter((e) => e.kind === first), ...held.filter((e) => e.kind !== first)]) {
      const { run } = event;
      if (run === undefined) continue;
      // The event itself goes on: whoever holds it can still cancel it.
      event.atUs = this.nowUs;
      this.schedule(0, owner, event.kind, () => {
        const current = event.run;
        event.run = undefined;
        current?.();
      });
    }
  }

  /** Events that wait, those of timers included. */
  pending(owner: Owner, kind: EventKind): KernelEvent[] {
    return [...this.#heap.all(), ...owner.held].filter(
      (e) => e.owner === owner && e.kind === kind && e.run !== undefined,
    );
  }

  /**
   * Does something in the real world (the slow mode's LevelDB) while virtual time stands still; the answer comes `delayUs`
   * later, in an event of the process that asked.
   */
  outside<T>(delayUs: number, run: () => Promise<T>): Promise<T> {
    const { owner } = this;
    const index = this.#outside.push(undefined) - 1;
    this.#outsideOpen++;
    return new Promise((resolve, reject) => {
      const done = (answer: () => void): void => {
        this.#outside[index] = () => void this.schedule(delayUs, owner, 'io', answer);
        if (--this.#outsideOpen > 0) return;
        // In the order of their start: which was done first is chance.
        for (const plan of this.#outside.splice(0)) plan!();
        this.#onOutsideDone?.();
      };
      run().then(
        (value) => done(() => resolve(value)),
        (error: unknown) => done(() => reject(error)),
      );
    });
  }

  /**
   * Runs until `main` is done. Rejects with what it throws, and where nothing is left to happen before.
   * @param untilMs virtual ms after which it is given up
   * The globals are to be installed; nothing else may run in this process meanwhile.
   */
  run<T>(main: () => Promise<T>, untilMs = Number.POSITIVE_INFINITY): Promise<T> {
    return new Promise((resolve, reject) => {
      let result: (() => void) | undefined;
      this.schedule(0, this.harness, 'call', () => {
        main().then(
          (value) => {
            result = () => resolve(value);
          },
          (error: unknown) => {
            result = () => reject(error);
          },
        );
      });
      const onRejection = (error: unknown): void =>
        this.onEscape({ owner: this.owner, kind: 'unhandledRejection', error });
      const onException = (error: unknown): void =>
        this.onEscape({ owner: this.owner, kind: 'uncaughtException', error });
      process.on('unhandledRejection', onRejection);
      process.on('uncaughtException', onException);
      const finish = (end: () => void): void => {
        process.off('unhandledRejection', onRejection);
        process.off('uncaughtException', onException);
        end();
      };
      const turn = (): void => {
        try {
          while (result === undefined && this.#outsideOpen === 0) {
            if (!this.#step()) break;
            if (this.nowUs > untilMs * 1000)
              throw new Error(`It is not done after ${untilMs / 60_000} virtual minutes.`);
          }
        } catch (error) {
          finish(() => reject(error));
          return;
        }
        if (result !== undefined) finish(result);
        else if (this.#outsideOpen === 0) finish(() => reject(new Error('Nothing is left to happen.')));
        else
          this.#onOutsideDone = () => {
            this.#onOutsideDone = undefined;
            real.setImmediate(turn);
          };
      };
      // From a callback of the event loop: a microtask could not drain the others.
      real.setImmediate(turn);
    });
  }

  /** Runs the next event; false where there is none. Hot. */
  #step(): boolean {
    const event = this.#heap.pop();
    if (event === undefined) return false;
    const { run, owner } = event;
    if (run === undefined || !owner.alive) return true;
    this.nowUs = event.atUs;
    if (owner.paused) {
      owner.held.push(event);
      return true;
    }
    if (owner.busyUntilUs > this.nowUs) {
      event.atUs = owner.busyUntilUs;
      this.#heap.push(event);
      return true;
    }
    event.run = undefined;
    this.owner = owner;
    owner.events++;
    this.events++;
    this.guarded(run);
    drainMicrotasks();
    if (owner.spentUs > 0) {
      owner.busyUntilUs = this.nowUs + owner.spentUs;
      owner.spentUs = 0;
    }
    this.owner = this.harness;
    return true;
  }

  /** What a callback throws ends its process in Node; here it is the owner's escape. */
  guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.onEscape({ owner: this.owner, kind: 'uncaughtException', error });
    }
  }
}

/**
 * A machine that runs an application: its processes one after the other, the disk that outlives them, and a supervisor
 * that starts the application again where it ended by itself, as the ones in use do.
 */
import { KafkaStreams, MillraceError } from '../../../src/index.ts';
import type { Logger } from '../../../src/logger.ts';
import type { KafkaStreamsState } from '../../../src/runtime/index.ts';
import { Disk } from '../disk/disk.ts';
import type { Medium } from '../disk/medium.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { OwnerKilledError } from '../kernel/kernel.ts';
import type { Owner } from '../kernel/owner.ts';
import type { Network } from '../network/network.ts';
import type { Trace } from '../observe/trace.ts';
import { APPLICATION, type Probe, type TopologyPlan } from '../topologies/plan.ts';
import type { Settings } from './settings.ts';

/** ms that `close()` may take at most: records to write 10 s, the group 3 s, clients 3 s, and what they wait for on the way. */
export const CLOSE_BOUND_MS = 30_000;
/** ms after which the supervisor starts an application again that has ended. */
const RESTART_MS = 2_000;
/** ms after `close()` within which what the process has open is to be gone. */
const EXIT_MS = 1_000;

/** An error that the application was told, and whose it was. */
export interface Told {
  readonly process: string;
  readonly how: 'start' | 'handler';
  readonly code: string;
  readonly message: string;
}

export interface MemberContext {
  readonly kernel: Kernel;
  readonly network: Network;
  readonly trace: Trace;
  readonly plan: TopologyPlan;
  readonly settings: Settings;
  readonly brokers: readonly string[];
  readonly registryUrl: string;
  readonly medium: Medium | undefined;
  /** Something went wrong that must not. */
  fail(check: string, text: string): void;
  saw(owner: Owner, place: string, id: number): void;
}

export class Member {
  readonly machine: string;
  readonly disk: Disk;
  /** Whether the supervisor keeps it running. */
  wanted = false;
  /** Of the application, see Probe. */
  version = 0;
  readonly told: Told[] = [];
  /** µs of work that user code takes for a record. */
  workUs = 0;
  /** Its process is killed with the write that makes this 0; undefined: it is not. */
  writesLeft: number | undefined;
  /** The next process is killed after so many effects; undefined: it is not. */
  nextFuse: number | undefined;
  readonly #context: MemberContext;
  #processes = 0;
  #owner: Owner | undefined;
  #streams: KafkaStreams | undefined;
  #closing = false;

  constructor(machine: string, context: MemberContext) {
    this.machine = machine;
    this.#context = context;
    this.disk = new Disk(context.kernel, machine, context.medium);
    this.disk.onWrite = (owner, directory, entries) => {
      context.trace.say('disk', `${directory}: ${entries} entries`, owner);
      if (this.writesLeft === undefined || --this.writesLeft > 0) return;
      this.writesLeft = undefined;
      this.kill();
    };
  }

  /** The process that runs now. */
  get owner(): Owner | undefined {
    return this.#owner;
  }

  get streams(): KafkaStreams | undefined {
    return this.#streams;
  }

  get state(): KafkaStreamsState | 'DOWN' {
    return this.#streams?.state ?? 'DOWN';
  }

  /** Starts the application, and keeps it running from now on. */
  start(): void {
    this.wanted = true;
    if (this.#owner === undefined) void this.#run();
  }

  /** Closes the application in good order, and leaves it so. Resolves when its process is gone. */
  async close(): Promise<void> {
    this.wanted = false;
    const [owner, streams] = [this.#owner, this.#streams];
    if (owner === undefined || streams === undefined || this.#closing) return;
    this.#closing = true;
    const { kernel, trace } = this.#context;
    trace.say('close', 'close()', owner);
    const bound = this.#watchClose(owner);
    await kernel
      .call(owner, () => streams.close())
      .catch((error: unknown) => {
        if (!(error instanceof OwnerKilledError))
          this.#context.fail('close', `${owner.name}: close() rejects: ${String(error)}`);
      });
    bound.done = true;
    if (owner.alive) await this.#exit(owner);
  }

  /** Ends the process at once: its system closes its sockets, its disk keeps what was written. */
  kill(): void {
    const owner = this.#owner;
    if (owner === undefined) return;
    this.#context.trace.say('kill', 'killed', owner);
    this.#context.kernel.kill(owner);
    this.#gone(owner);
  }

  /** The machine loses its power: nobody is told. */
  powerOff(): void {
    this.#context.network.powerOff(this.machine);
    this.kill();
  }

  powerOn(): void {
    this.#context.network.powerOn(this.machine);
  }

  async #run(): Promise<void> {
    const { kernel, network, trace, fail } = this.#context;
    const owner = kernel.createOwner(`${this.machine}.${++this.#processes}`, this.machine);
    this.#owner = owner;
    owner.fuse = this.nextFuse;
    this.nextFuse = undefined;
    this.#closing = false;
    owner.onKill.push(() => {
      network.closeAll(owner);
      this.#gone(owner);
    });
    trace.say('start', `version ${this.version}`, owner);
    let started: KafkaStreams | undefined;
    try {
      await kernel.call(owner, async () => {
        started = this.#create(owner);
        this.#streams = started;
        await started.start();
      });
    } catch (error) {
      if (error instanceof OwnerKilledError) return;
      this.#tell(owner, 'start', error);
      if (started !== undefined && this.#closing) return;
      await kernel
        .call(owner, () => started?.close())
        .catch((reason: unknown) => {
          if (!(reason instanceof OwnerKilledError))
            fail('close', `${owner.name}: close() after a failed start rejects: ${String(reason)}`);
        });
      if (owner.alive) await this.#exit(owner);
    }
  }

  #create(owner: Owner): KafkaStreams {
    const { kernel, trace, plan, settings, brokers } = this.#context;
    const probe: Probe = {
      settings,
      version: this.version,
      registryUrl: this.#context.registryUrl,
      saw: (place, id) => {
        owner.spentUs += this.workUs;
        this.#context.saw(owner, place, id);
      },
    };
    const streams = new KafkaStreams(
      plan.build(probe),
      {
        applicationId: APPLICATION,
        kafka: { brokers: [...brokers], clientId: this.machine, requestTimeout: settings.requestTimeoutMs },
        stateDir: `/${this.machine}`,
        commitIntervalMs: settings.commitIntervalMs,
        cacheMaxBytes: settings.cacheMaxBytes,
        lingerMs: settings.lingerMs,
        sessionTimeoutMs: settings.sessionTimeoutMs,
        heartbeatIntervalMs: settings.heartbeatIntervalMs,
        maxPollIntervalMs: settings.maxPollIntervalMs,
        maxTaskIdleMs: settings.maxTaskIdleMs,
        repartitionPurgeIntervalMs: settings.repartitionPurgeIntervalMs,
        compression: settings.compression,
        logger: loggerOf(trace, owner),
      },
      this.disk,
    );
    streams.setStateListener((next, previous) => {
      trace.say('state', `${previous} > ${next}`, owner);
      if (next === 'ERROR') kernel.schedule(0, kernel.harness, 'call', () => void this.#ended(owner, streams));
    });
    streams.setUncaughtErrorHandler((error) => {
      this.#tell(owner, 'handler', error);
      return settings.onUncaught;
    });
    return streams;
  }

  #tell(owner: Owner, how: Told['how'], error: unknown): void {
    const code = error instanceof MillraceError ? error.code : (error as Error)?.constructor?.name;
    const message = error instanceof Error ? error.message : String(error);
    this.told.push({ process: owner.name, how, code, message });
    this.#context.trace.say('told', `${how}: ${code} ${message}`, owner);
  }

  /** It has stopped by itself, after telling its handler: its process ends. */
  async #ended(owner: Owner, streams: KafkaStreams): Promise<void> {
    if (!owner.alive || this.#closing) return;
    this.#closing = true;
    const bound = this.#watchClose(owner);
    await this.#context.kernel.call(owner, () => streams.close()).catch(() => {});
    bound.done = true;
    if (owner.alive) await this.#exit(owner);
  }

  /** A process that has closed its application has nothing open any more. */
  async #exit(owner: Owner): Promise<void> {
    const { kernel, network, fail, trace } = this.#context;
    do {
      while (owner.alive && owner.paused) await kernel.sleep(EXIT_MS);
      await kernel.sleep(EXIT_MS);
    } while (owner.alive && owner.paused);
    if (!owner.alive) return;
    const { sockets, servers } = network.openOf(owner);
    const timers = kernel.pending(owner, 'timer');
    const databases = this.disk.openOf(owner);
    const left = [
      sockets.length > 0 ? `${sockets.length} sockets (${sockets.map((s) => s.readyState).join(', ')})` : '',
      servers.length > 0 ? `servers ${servers.join(', ')}` : '',
      timers.length > 0 ? `${timers.length} timers` : '',
      databases.length > 0 ? `databases ${databases.join(', ')}` : '',
    ].filter((text) => text !== '');
    for (const { stack } of timers) trace.explain('timer', () => stack ?? '', owner);
    if (left.length > 0) fail('leak', `${owner.name} has closed and still has ${left.join('; ')}`);
    trace.say('exit', 'exited', owner);
    kernel.kill(owner);
  }

  #gone(owner: Owner): void {
    if (this.#owner !== owner) return;
    this.#owner = undefined;
    this.#streams = undefined;
    const { kernel } = this.#context;
    kernel.schedule(RESTART_MS * 1000, kernel.harness, 'call', () => {
      if (this.wanted && this.#owner === undefined) void this.#run();
    });
  }

  /** Time in which the process was stopped does not count. */
  #watchClose(owner: Owner): { done: boolean } {
    const { kernel, fail } = this.#context;
    const watch = { done: false };
    const check = (leftMs: number): void => {
      if (watch.done || !owner.alive) return;
      if (leftMs <= 0) {
        fail('close-late', `${owner.name}: close() has not returned after ${CLOSE_BOUND_MS / 1000} s`);
        kernel.kill(owner);
        return;
      }
      kernel.schedule(1_000_000, kernel.harness, 'call', () => check(owner.paused ? leftMs : leftMs - 1_000));
    };
    check(CLOSE_BOUND_MS);
    return watch;
  }
}

function loggerOf(trace: Trace, owner: Owner): Logger {
  const at = (level: string) => (fields: object, message: string) =>
    trace.explain('log', () => `${level} ${message} ${JSON.stringify(fields)}`, owner);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/**
 * One run: a cluster, members of an application, a writer; faults for a while, then none; then everything has to come to
 * rest, and what is there is compared with what has to be.
 */
import { checks } from '../checks/index.ts';
import { AGAIN } from '../checks/stores.ts';
import type { Medium } from '../disk/medium.ts';
import { faultKinds } from '../faults/index.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Owner } from '../kernel/owner.ts';
import type { Network } from '../network/network.ts';
import { describe } from '../observe/describe.ts';
import { Logs } from '../observe/logs.ts';
import { Sessions } from '../observe/sessions.ts';
import { Trace } from '../observe/trace.ts';
import { Wire } from '../observe/wire.ts';
import { Writes } from '../observe/writes.ts';
import { topologies } from '../topologies/index.ts';
import type { StorePlan, TopologyPlan } from '../topologies/plan.ts';
import { Cluster } from './cluster.ts';
import { Member } from './member.ts';
import { Registry } from './registry.ts';
import { awaitRest, lagOf } from './rest.ts';
import type { Scenario } from './scenario.ts';
import { planRecords, Writer } from './writer.ts';

/** Something that must not be. */
export interface Violation {
  readonly check: string;
  readonly text: string;
  readonly atUs: number;
}

export interface WorldOptions {
  /** Makes a history to read. */
  readonly readable?: boolean;
  /** What each disk keeps its databases in; undefined: memory. */
  medium(): Medium | undefined;
}

/** A check stops looking after so many. */
const MAX_VIOLATIONS = 20;

export class World {
  readonly kernel: Kernel;
  readonly network: Network;
  readonly scenario: Scenario;
  readonly plan: TopologyPlan;
  readonly trace: Trace;
  readonly wire: Wire;
  readonly logs: Logs;
  readonly cluster: Cluster;
  readonly registry: Registry;
  readonly members: Member[] = [];
  readonly violations: Violation[] = [];
  /** How often user code at a place had a record in hand: `place id` to a number. */
  readonly sightings = new Map<string, number>();
  /** By the scenario, and those that the pattern's faults bring. */
  readonly inputTopics = new Set<string>();
  /** Topics whose records may be gone: deleted or trimmed by a fault. */
  readonly incomplete = new Set<string>();
  /** `changelog/partition key`, `output key`: what a process wrote there before it could know that its task was another's. */
  readonly excused = new Set<string>();
  /** Of the application that ran. */
  readonly versions = new Set<number>([0]);
  /** No faults any more. */
  isHealed = false;
  readonly sessions: Sessions;
  readonly writes: Writes;
  readonly writers: Writer[] = [];
  /** Faults that were begun. */
  readonly #underWay: Promise<void>[] = [];
  #written = 0;
  readonly #medium: () => Medium | undefined;
  /** How to take back what faults began. */
  readonly #healing: (() => void | Promise<void>)[] = [];

  constructor(kernel: Kernel, network: Network, scenario: Scenario, { readable, medium }: WorldOptions) {
    this.kernel = kernel;
    this.network = network;
    this.scenario = scenario;
    this.#medium = medium;
    this.plan = topologies[scenario.topology]!(scenario);
    this.trace = new Trace(kernel, readable ?? false);
    kernel.keepsStacks = readable ?? false;
    this.logs = new Logs(kernel);
    this.wire = new Wire((connection) => this.cluster.isPort(connection.port));
    this.wire.onBytes = (owner, bytes) => this.trace.bytes(owner, bytes);
    network.tap = this.wire;
    this.cluster = new Cluster(kernel, network, {
      nodes: scenario.nodes,
      rebalanceDelayMs: scenario.settings.rebalanceDelayMs,
    });
    this.registry = new Registry(kernel, network, this.cluster.brokers);
    const now = (): number => kernel.nowUs;
    this.sessions = new Sessions(now, scenario.settings.sessionTimeoutMs);
    this.writes = new Writes(this.plan.stores, this.sessions, now, () => this.cluster.topicNames());
    this.wire.listeners.push((message) => {
      this.sessions.heard(message);
      this.writes.heard(message);
      if (this.trace.lines === undefined) return;
      const text = describe(message);
      if (text !== undefined) this.trace.explain('wire', () => text, message.client);
    });
    for (const { topic } of this.plan.inputs) this.inputTopics.add(topic);
    for (let i = 1; i <= scenario.members; i++) this.members.push(this.createMember(`m${i}`));
    kernel.onEscape = ({ owner, kind, error }) => {
      if (owner === kernel.harness || owner === kernel.wire) throw error;
      this.fail(
        'escape',
        `${owner.name}: ${kind}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      );
      if (kind === 'uncaughtException') kernel.kill(owner);
    };
    for (const check of checks) check.watch?.(this);
  }

  get isFailing(): boolean {
    return this.violations.length > 0;
  }

  fail(check: string, text: string): void {
    this.trace.say('FAIL', `${check}: ${text}`);
    if (this.violations.length < MAX_VIOLATIONS) this.violations.push({ check, text, atUs: this.kernel.nowUs });
  }

  createMember(machine: string): Member {
    const { kernel, network, trace, plan, scenario, cluster } = this;
    return new Member(machine, {
      kernel,
      network,
      trace,
      plan,
      settings: scenario.settings,
      brokers: cluster.brokers,
      registryUrl: this.registry.url,
      medium: this.#medium(),
      fail: (check, text) => this.fail(check, text),
      saw: (owner, place, id) => this.#saw(owner, place, id),
    });
  }

  isExcused({ changelog }: StorePlan, key: string): boolean {
    for (let partition = 0; partition < this.logs.partitionsOf(changelog); partition++)
      if (this.excused.has(`${changelog}/${partition} ${key}`)) return true;
    return false;
  }

  /** What a fault began is taken back when the world heals. */
  onHeal(step: () => void | Promise<void>): void {
    this.#healing.push(step);
  }

  /** The whole run. Violations are collected, not thrown. */
  async run(): Promise<void> {
    const uninstall = this.logs.install();
    try {
      await this.#begin();
      await this.#break();
      await this.#heal();
      if (!(await awaitRest(this))) return;
      for (const check of checks) await check.atRest?.(this);
      await this.#restart();
    } finally {
      uninstall();
    }
  }

  async #begin(): Promise<void> {
    const { kernel, cluster, plan, scenario } = this;
    await cluster.start();
    for (const { topic, partitions } of [...plan.inputs, ...plan.outputs]) await cluster.createTopic(topic, partitions);
    const topics = plan.inputs.map(({ topic }) => topic);
    this.#write(topics, scenario.records, 500, scenario.activeMs);
    if (plan.usesRegistry === true) this.registry.start();
    const starts = kernel.random.of('starts');
    for (const member of this.members)
      kernel.schedule(starts.pick([0, 100, 5_000]) * 1000, kernel.harness, 'call', () => member.start());
  }

  /** More records, for a topic that has just come, from now on until the faults end. */
  write(topic: string, records: number): void {
    this.#write([topic], records, this.kernel.nowUs / 1000, this.scenario.activeMs);
  }

  #write(topics: readonly string[], records: number, fromMs: number, toMs: number): void {
    const { kernel, cluster, scenario } = this;
    const { keys, lateMs, bursts } = scenario;
    const firstId = this.#written;
    this.#written += records;
    const random = kernel.random.of(`workload ${topics.join()}`);
    const plan = planRecords(random, {
      records,
      firstId,
      keys,
      fromMs,
      toMs: Math.max(fromMs, toMs),
      topics,
      lateMs,
      bursts,
    });
    this.writers.push(new Writer(kernel, cluster, plan));
  }

  async #break(): Promise<void> {
    const { kernel, scenario } = this;
    for (const { atMs, kind, args } of scenario.faults) {
      kernel.schedule(atMs * 1000 - kernel.nowUs, kernel.harness, 'call', () => {
        this.trace.say('fault', `${kind} ${JSON.stringify(args)}`);
        const done = Promise.resolve(faultKinds[kind]!.apply(this, args)).catch((error: unknown) =>
          this.fail('harness', `fault ${kind}: ${String(error)}`),
        );
        this.#underWay.push(done);
      });
    }
    await kernel.sleep(scenario.activeMs - kernel.nowUs / 1000);
  }

  async #heal(): Promise<void> {
    this.trace.say('heal', 'faults end');
    this.isHealed = true;
    this.cluster.clearFaults();
    this.network.heal();
    await this.cluster.start();
    for (const step of this.#healing.splice(0)) await step();
    await this.cluster.heal();
    for (const { owner, disk } of this.members) {
      if (owner !== undefined) this.kernel.resume(owner);
      disk.refusing = undefined;
      disk.slowness = 1;
    }
    for (const member of this.members) member.writesLeft = undefined;
    if (this.plan.usesRegistry === true) this.registry.start();
    // Those that take several steps, a rolling restart for example, take them all.
    await Promise.all(this.#underWay);
    for (const step of this.#healing.splice(0)) await step();
    for (const member of this.members) member.start();
  }

  /** Everything closes, starts again on its disks, closes again, and starts on an empty disk. */
  async #restart(): Promise<void> {
    if (this.isFailing) return;
    await this.#closeAll();
    const fresh = this.createMember('fresh');
    for (const [name, members] of [
      ['restart on the old disks', this.members],
      ['a start on an empty disk', [fresh]],
      [AGAIN, [fresh]],
    ] as const) {
      this.trace.say('phase', name);
      const ends = this.#ends();
      for (const member of members) member.start();
      if (!(await awaitRest(this, members))) return;
      for (const check of checks) await check.afterRestart?.(this, members, name);
      await this.#closeAll(members);
      if (this.#ends() !== ends) this.fail('repeat', `${name}: records were written though there was no input`);
      if (this.isFailing) return;
    }
  }

  async #closeAll(members: readonly Member[] = this.members): Promise<void> {
    await Promise.all(members.map((member) => member.close()));
  }

  /** The ends of all logs. */
  #ends(): string {
    const { cluster } = this;
    return cluster
      .topicNames()
      .flatMap((topic) =>
        Array.from({ length: cluster.partitionsOf(topic) }, (_, p) => `${topic}-${p}:${cluster.endOffset(topic, p)}`),
      )
      .join();
  }

  /** For messages. */
  lag(): string {
    return lagOf(this).join(', ');
  }

  #saw(owner: Owner, place: string, id: number): void {
    const name = `${place} ${id}`;
    this.sightings.set(name, (this.sightings.get(name) ?? 0) + 1);
    this.trace.explain('user', () => `${place} has record ${id}`, owner);
  }
}

export function sightingsOf(world: World, place: string, id: number): number {
  return world.sightings.get(`${place} ${id}`) ?? 0;
}

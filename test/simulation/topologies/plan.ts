/**
 * What is simulated: a topology and, independent of it, what has to come out. Every record of the input has a number; an
 * aggregate is the list of the numbers that went into it (a trail), so that what is missing, repeated or out of order is
 * seen in any value on any topic.
 */
import { json, type Topology } from '../../../src/index.ts';
import type { Settings } from '../world/settings.ts';
import type { Database } from './database.ts';

/** The value of an input record. */
export interface Input {
  /** Of its own among all records of the run. */
  readonly id: number;
  /** What by-value topologies group by. */
  readonly by: string;
}

export const inputSerde = json<Input>();

/** An aggregate: the numbers of the records in it, in the order in which they came. */
export interface Trail {
  readonly ids: number[];
}

export const trailSerde = json<Trail>();

export interface InputTopic {
  readonly topic: string;
  readonly partitions: number;
}

/** A record as a place-finding function sees it. */
export interface Seen {
  readonly key: string;
  readonly id: number;
  readonly by: string;
}

/** Where records are copied to under another key: a repartition topic. */
export interface Relay {
  readonly name: string;
  /** As the cluster has it. */
  readonly topic: string;
  /** Topics, as the cluster has them; a pattern: all that match. */
  readonly from: readonly string[] | RegExp;
  /** Which records go there; undefined: all. */
  readonly accepts?: ((record: Seen) => boolean) | undefined;
  /** Between the two is a call: a position may be committed before what comes of its records is there. */
  readonly isAsynchronous?: boolean;
  keyOf(record: Seen): string;
}

/** A database that records go to in batches. */
export interface SinkPlan {
  readonly name: string;
  readonly from: readonly string[];
  readonly database: Database;
  /** It remembers positions: every record is in it once. */
  readonly isExact: boolean;
}

/** What a store has to hold. */
export interface StorePlan {
  readonly name: string;
  /** `trail`: all numbers of a key; `count`: how many; `last`: the newest record of a key. */
  readonly holds: 'trail' | 'count' | 'last';
  /** As the cluster has it. */
  readonly changelog: string;
  /** What the store's task reads. */
  readonly from: readonly string[] | RegExp;
  /** Where its updates go; undefined: nowhere. */
  readonly output: string | undefined;
  /** Which records go there; undefined: all. */
  readonly accepts?: ((record: Seen) => boolean) | undefined;
  readonly windows: { readonly sizeMs: number; graceMs(version: number): number } | undefined;
  keyOf(record: Seen): string;
}

/** What user code of a topology tells and is told. */
export interface Probe {
  readonly settings: Settings;
  /** Of the application: rolling restarts raise it. */
  readonly version: number;
  readonly registryUrl: string;
  /** User code at this place (a store's or a relay's name) has a record in hand; it may take its time. */
  saw(place: string, id: number): void;
}

export interface TopologyPlan {
  readonly name: string;
  readonly inputs: readonly InputTopic[];
  readonly relays: readonly Relay[];
  readonly stores: readonly StorePlan[];
  readonly sinks?: readonly SinkPlan[];
  /** Topics that must be there and are not read. */
  readonly outputs: readonly InputTopic[];
  /** Of a pattern source: what new topics may be called; undefined: there is none. */
  readonly pattern: string | undefined;
  /** Default false. */
  readonly usesRegistry?: boolean;
  build(probe: Probe): Topology;
}

export const APPLICATION = 'app';

export const changelogOf = (store: string): string => `${APPLICATION}-${store}-changelog`;
export const repartitionOf = (name: string): string => `${APPLICATION}-${name}-repartition`;

/** The aggregator of a trail; changes the aggregate it is given, as user code may. */
export function extend(probe: Probe, store: string): (key: string, value: { id: number }, trail: Trail) => Trail {
  return (_key, value, trail) => {
    probe.saw(store, value.id);
    trail.ids.push(value.id);
    return trail;
  };
}

export const emptyTrail = (): Trail => ({ ids: [] });

export function matches(from: readonly string[] | RegExp, topic: string): boolean {
  return from instanceof RegExp ? from.test(topic) : from.includes(topic);
}

/** What can go wrong: a kind says how it is planned from the seed, and what it does to a running world. */
import type { Random } from '../kernel/random.ts';
import type { World } from '../world/world.ts';

export type FaultArgs = Readonly<Record<string, string | number | boolean>>;

/** A fault of a scenario; plain data, so that it can be left out, printed and written down. */
export interface PlannedFault {
  /** Virtual ms from the start of the run. */
  readonly atMs: number;
  readonly kind: string;
  readonly args: FaultArgs;
}

/** What a fault is planned for. */
export interface Planning {
  readonly topology: string;
  readonly members: number;
  readonly partitions: number;
  /** Brokers. */
  readonly nodes: number;
  readonly activeMs: number;
}

export interface FaultKind {
  /** Draws the arguments; undefined: there is no such fault in this scenario. */
  plan(random: Random, planning: Planning): FaultArgs | undefined;
  /** Makes it happen; what it began and does not end by itself ends when the world heals. */
  apply(world: World, args: FaultArgs): void | Promise<void>;
  /** How often it is drawn in comparison with others. Default 1. */
  readonly weight?: number;
  /**
   * What an application may be stopped with because of it: `start CODE`, where `start()` may reject, and `handler CODE`,
   * where the handler may be told. Default none: it is to be ridden out.
   */
  readonly mayStop?: readonly string[];
  /** Nothing has to be processed again because of it. Default false. */
  readonly isOrderly?: boolean;
}

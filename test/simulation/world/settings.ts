/** An application's options, by the seed. */
import type { CompressionType } from '../../../src/kafka/index.ts';
import type { StoreKind } from '../../../src/state/index.ts';
import type { Random } from '../kernel/random.ts';

export interface Settings {
  readonly commitIntervalMs: number;
  readonly cacheMaxBytes: number;
  readonly lingerMs: number;
  readonly sessionTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly maxPollIntervalMs: number;
  readonly maxTaskIdleMs: number;
  readonly repartitionPurgeIntervalMs: number;
  readonly compression: CompressionType;
  readonly storeKind: StoreKind;
  readonly caching: boolean;
  /** What the uncaught-error handler answers. */
  readonly onUncaught: 'shutdown-client' | 'replace-thread';
  /** kafkajs' requestTimeout. */
  readonly requestTimeoutMs: number;
  /** group.initial.rebalance.delay.ms of the broker. */
  readonly rebalanceDelayMs: number;
}

/** What a smaller failing scenario is tried with. */
export const plainSettings: Settings = {
  commitIntervalMs: 500,
  cacheMaxBytes: 10_000_000,
  lingerMs: 20,
  sessionTimeoutMs: 10_000,
  heartbeatIntervalMs: 3_000,
  maxPollIntervalMs: 60_000,
  maxTaskIdleMs: 0,
  repartitionPurgeIntervalMs: 10_000,
  compression: 'none',
  storeKind: 'persistent',
  caching: true,
  onUncaught: 'shutdown-client',
  requestTimeoutMs: 30_000,
  rebalanceDelayMs: 0,
};

export function randomSettings(random: Random): Settings {
  const sessionTimeoutMs = random.pick([6_000, 10_000, 20_000]);
  return {
    commitIntervalMs: random.pick([100, 500, 2_000, 5_000]),
    cacheMaxBytes: random.pick([0, 2_000, 10_000_000]),
    lingerMs: random.pick([0, 5, 20, 100]),
    sessionTimeoutMs,
    heartbeatIntervalMs: random.pick([1_000, 2_000, 3_000]),
    maxPollIntervalMs: random.pick([30_000, 60_000]),
    maxTaskIdleMs: random.pick([-1, 0, 200]),
    repartitionPurgeIntervalMs: random.pick([1_000, 10_000]),
    compression: random.pick<CompressionType>(['none', 'none', 'gzip', 'snappy', 'lz4']),
    storeKind: random.chance(0.8) ? 'persistent' : 'in-memory',
    caching: random.chance(0.7),
    onUncaught: random.chance(0.5) ? 'shutdown-client' : 'replace-thread',
    requestTimeoutMs: random.pick([5_000, 30_000]),
    rebalanceDelayMs: random.pick([0, 0, 500, 3_000]),
  };
}

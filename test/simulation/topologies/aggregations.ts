/** Aggregations by key, by value, behind two repartition topics, and two in one task. */
import { long, StreamsBuilder, string } from '../../../src/index.ts';
import type { PlanOptions } from './index.ts';
import {
  changelogOf,
  emptyTrail,
  extend,
  inputSerde,
  type Probe,
  repartitionOf,
  type StorePlan,
  type TopologyPlan,
  trailSerde,
} from './plan.ts';

const INPUT = 'input';
const OUTPUT = 'output';
/** Of later versions only: their sub-topology is another one. */
const LATER = 'later';

/** Store options that the settings decide. */
export function stored({ settings }: Probe) {
  return { kind: settings.storeKind, caching: settings.caching } as const;
}

const key = string();
const consumed = { key, value: inputSerde };
const produced = { key, value: trailSerde };

export function trailStore(name: string, more: Partial<StorePlan>): StorePlan {
  return {
    name,
    holds: 'trail',
    changelog: changelogOf(name),
    from: [INPUT],
    output: undefined,
    windows: undefined,
    keyOf: (record) => record.key,
    ...more,
  };
}

export function byKey({ partitions }: PlanOptions): TopologyPlan {
  return {
    name: 'by-key',
    inputs: [{ topic: INPUT, partitions }],
    outputs: [
      { topic: OUTPUT, partitions },
      { topic: LATER, partitions },
    ],
    relays: [],
    stores: [trailStore('trail', { output: OUTPUT })],
    pattern: undefined,
    build(probe) {
      const builder = new StreamsBuilder();
      const updates = builder
        .stream(INPUT, consumed)
        .groupByKey()
        .aggregate(emptyTrail, extend(probe, 'trail'), { name: 'trail', value: trailSerde, ...stored(probe) })
        .toStream();
      updates.to(OUTPUT, produced);
      if (probe.version > 0) updates.to(LATER, produced);
      return builder.build();
    },
  };
}

export function byValue({ partitions }: PlanOptions): TopologyPlan {
  const relay = repartitionOf('by');
  return {
    name: 'by-value',
    inputs: [{ topic: INPUT, partitions }],
    outputs: [{ topic: OUTPUT, partitions }],
    relays: [{ name: 'by', topic: relay, from: [INPUT], keyOf: (record) => record.by }],
    stores: [trailStore('trail', { from: [relay], keyOf: (record) => record.by, output: OUTPUT })],
    pattern: undefined,
    build(probe) {
      const builder = new StreamsBuilder();
      builder
        .stream(INPUT, consumed)
        .groupBy(
          (_key, value) => {
            probe.saw('by', value.id);
            return value.by;
          },
          { key, value: inputSerde, name: 'by' },
        )
        .aggregate(emptyTrail, extend(probe, 'trail'), { name: 'trail', value: trailSerde, ...stored(probe) })
        .toStream()
        .to(OUTPUT, produced);
      return builder.build();
    },
  };
}

/** Two repartition topics in a row, the second with a number of partitions of its own. */
export function chain({ partitions }: PlanOptions): TopologyPlan {
  const [first, second] = [repartitionOf('first'), repartitionOf('second')];
  const turned = (text: string): string => [...text].reverse().join('');
  return {
    name: 'chain',
    inputs: [{ topic: INPUT, partitions }],
    outputs: [],
    relays: [
      { name: 'first', topic: first, from: [INPUT], keyOf: (record) => record.by },
      { name: 'second', topic: second, from: [first], keyOf: (record) => turned(record.by) },
    ],
    stores: [
      trailStore('early', { from: [first], keyOf: (record) => record.by }),
      trailStore('late', { from: [second], keyOf: (record) => turned(record.by) }),
    ],
    pattern: undefined,
    build(probe) {
      const builder = new StreamsBuilder();
      const between = builder
        .stream(INPUT, consumed)
        .selectKey((_key, value) => {
          probe.saw('first', value.id);
          return value.by;
        })
        .repartition({ name: 'first', key, value: inputSerde });
      between
        .groupByKey()
        .aggregate(emptyTrail, extend(probe, 'early'), { name: 'early', value: trailSerde, ...stored(probe) });
      between
        .selectKey((_key, value) => {
          probe.saw('second', value.id);
          return turned(value.by);
        })
        .repartition({ name: 'second', key, value: inputSerde, partitions: partitions + 1 })
        .groupByKey()
        .aggregate(emptyTrail, extend(probe, 'late'), { name: 'late', value: trailSerde, ...stored(probe) });
      return builder.build();
    },
  };
}

/** Two stores in one task's database. */
export function twoStores({ partitions }: PlanOptions): TopologyPlan {
  return {
    name: 'two-stores',
    inputs: [{ topic: INPUT, partitions }],
    outputs: [{ topic: OUTPUT, partitions }],
    relays: [],
    stores: [
      trailStore('trail', { output: OUTPUT }),
      { ...trailStore('count', {}), holds: 'count' },
      trailStore('second', {}),
    ],
    pattern: undefined,
    build(probe) {
      const builder = new StreamsBuilder();
      const input = builder.stream(INPUT, consumed);
      const grouped = input.groupByKey();
      grouped
        .aggregate(emptyTrail, extend(probe, 'trail'), { name: 'trail', value: trailSerde, ...stored(probe) })
        .toStream()
        .to(OUTPUT, produced);
      grouped.aggregate(
        () => 0,
        (_key, value, count) => {
          probe.saw('count', value.id);
          return count + 1;
        },
        { name: 'count', value: long(), ...stored(probe) },
      );
      grouped.aggregate(emptyTrail, extend(probe, 'second'), { name: 'second', value: trailSerde, ...stored(probe) });
      return builder.build();
    },
  };
}

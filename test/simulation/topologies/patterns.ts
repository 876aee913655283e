/** All topics of a pattern, whose partitions differ in number; more may come, grow and go. */
import { StreamsBuilder, string } from '../../../src/index.ts';
import { stored } from './aggregations.ts';
import type { PlanOptions } from './index.ts';
import { changelogOf, emptyTrail, extend, inputSerde, type TopologyPlan, trailSerde } from './plan.ts';

const PATTERN = /^in-\d+$/;

export function pattern({ partitions }: PlanOptions): TopologyPlan {
  return {
    name: 'pattern',
    inputs: [
      { topic: 'in-1', partitions },
      { topic: 'in-2', partitions: Math.max(1, partitions - 1) },
    ],
    outputs: [],
    relays: [],
    stores: [
      {
        name: 'trail',
        holds: 'trail',
        changelog: changelogOf('trail'),
        from: PATTERN,
        output: undefined,
        windows: undefined,
        keyOf: (record) => record.key,
      },
    ],
    pattern: 'in-',
    build(probe) {
      const builder = new StreamsBuilder();
      builder
        .stream(PATTERN, { key: string(), value: inputSerde })
        .groupByKey()
        .aggregate(emptyTrail, extend(probe, 'trail'), { name: 'trail', value: trailSerde, ...stored(probe) });
      return builder.build();
    },
  };
}

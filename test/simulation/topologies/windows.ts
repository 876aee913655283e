/** A windowed aggregation; a rolling restart may lengthen or shorten its grace. */
import { StreamsBuilder, string, TimeWindows } from '../../../src/index.ts';
import { stored } from './aggregations.ts';
import type { PlanOptions } from './index.ts';
import { changelogOf, emptyTrail, extend, inputSerde, type TopologyPlan, trailSerde } from './plan.ts';

const SIZE_MS = 20_000;
/** By version of the application. */
const GRACES_MS = [30_000, 600_000, 90_000];

export function windowed({ partitions }: PlanOptions): TopologyPlan {
  const graceMs = (version: number): number => GRACES_MS[version % GRACES_MS.length]!;
  return {
    name: 'windowed',
    inputs: [{ topic: 'input', partitions }],
    outputs: [],
    relays: [],
    stores: [
      {
        name: 'windows',
        holds: 'trail',
        changelog: changelogOf('windows'),
        from: ['input'],
        output: undefined,
        windows: { sizeMs: SIZE_MS, graceMs },
        keyOf: (record) => record.key,
      },
    ],
    pattern: undefined,
    build(probe) {
      const builder = new StreamsBuilder();
      builder
        .stream('input', { key: string(), value: inputSerde })
        .groupByKey()
        .windowedBy(TimeWindows.of(SIZE_MS, { grace: graceMs(probe.version) }))
        .aggregate(emptyTrail, extend(probe, 'windows'), { name: 'windows', value: trailSerde, ...stored(probe) });
      return builder.build();
    },
  };
}

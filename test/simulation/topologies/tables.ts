/** A topic as a table, kept in a store. */
import { StreamsBuilder, string } from '../../../src/index.ts';
import { stored } from './aggregations.ts';
import type { PlanOptions } from './index.ts';
import { changelogOf, inputSerde, type TopologyPlan } from './plan.ts';

export function table({ partitions }: PlanOptions): TopologyPlan {
  return {
    name: 'table',
    inputs: [{ topic: 'input', partitions }],
    outputs: [{ topic: 'output', partitions }],
    relays: [],
    stores: [
      {
        name: 'rows',
        holds: 'last',
        changelog: changelogOf('rows'),
        from: ['input'],
        output: 'output',
        windows: undefined,
        keyOf: (record) => record.key,
      },
    ],
    pattern: undefined,
    build(probe) {
      const builder = new StreamsBuilder();
      builder
        .table('input', { key: string(), value: inputSerde, materialized: { name: 'rows', ...stored(probe) } })
        .toStream()
        .to('output', { key: string(), value: inputSerde });
      return builder.build();
    },
  };
}

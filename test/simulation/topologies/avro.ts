/** An aggregation by value whose repartition topic, changelog and output are Avro with a schema registry. */
import avsc from 'avsc';
import { avro, SchemaRegistry, StreamsBuilder, string } from '../../../src/index.ts';
import { stored } from './aggregations.ts';
import type { PlanOptions } from './index.ts';
import { changelogOf, emptyTrail, extend, inputSerde, repartitionOf, type TopologyPlan } from './plan.ts';

const inputSchema = {
  type: 'record',
  name: 'Input',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'by', type: 'string' },
  ],
} as const;

const trailSchema = {
  type: 'record',
  name: 'Trail',
  fields: [{ name: 'ids', type: { type: 'array', items: 'long' } }],
} as const;

/** Magic byte and schema id. */
const PREFIX_BYTES = 5;
const inputType = avsc.Type.forSchema(inputSchema as never);
const trailType = avsc.Type.forSchema(trailSchema as never);

/** As the checks read them, without a registry: the schemas are these. */
export const decodeInput = (value: Buffer): { id: number; by: string } =>
  inputType.fromBuffer(value.subarray(PREFIX_BYTES)) as { id: number; by: string };
export const decodeTrail = (value: Buffer): { ids: number[] } =>
  trailType.fromBuffer(value.subarray(PREFIX_BYTES)) as { ids: number[] };

export function byValueInAvro({ partitions }: PlanOptions): TopologyPlan {
  const relay = repartitionOf('by');
  return {
    name: 'avro',
    inputs: [{ topic: 'input', partitions }],
    outputs: [{ topic: 'output', partitions }],
    relays: [{ name: 'by', topic: relay, from: ['input'], keyOf: (record) => record.by }],
    stores: [
      {
        name: 'trail',
        holds: 'trail',
        changelog: changelogOf('trail'),
        from: [relay],
        output: 'output',
        windows: undefined,
        keyOf: (record) => record.by,
      },
    ],
    pattern: undefined,
    usesRegistry: true,
    build(probe) {
      const registry = new SchemaRegistry({ url: probe.registryUrl });
      const [input, trail] = [avro(registry, inputSchema), avro(registry, trailSchema)];
      const key = string();
      const builder = new StreamsBuilder();
      builder
        .stream('input', { key, value: inputSerde })
        .groupBy(
          (_key, value) => {
            probe.saw('by', value.id);
            return value.by;
          },
          { key, value: input, name: 'by' },
        )
        .aggregate(emptyTrail, extend(probe, 'trail'), { name: 'trail', value: trail, ...stored(probe) })
        .toStream()
        .to('output', { key, value: trail });
      return builder.build();
    },
  };
}

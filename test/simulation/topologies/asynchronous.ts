/** Calls that take their time and fail, and batches into a database; before an aggregation, and behind one. */
import { StreamsBuilder, string } from '../../../src/index.ts';
import { stored, trailStore } from './aggregations.ts';
import { ATTEMPT_MS, Database, fateOf, RETRY, wait } from './database.ts';
import type { PlanOptions } from './index.ts';
import { emptyTrail, extend, inputSerde, repartitionOf, type TopologyPlan, trailSerde } from './plan.ts';

const INPUT = 'input';
const key = string();

/** Each record is called for, and what comes of it is aggregated by another key. */
export function calls({ partitions }: PlanOptions): TopologyPlan {
  const relay = repartitionOf('called');
  return {
    name: 'calls',
    inputs: [{ topic: INPUT, partitions }],
    outputs: [],
    relays: [{ name: 'call', topic: relay, from: [INPUT], keyOf: (record) => record.key, isAsynchronous: true }],
    stores: [trailStore('trail', { from: [relay] })],
    pattern: undefined,
    build(probe) {
      const builder = new StreamsBuilder();
      builder
        .stream(INPUT, { key, value: inputSerde })
        .mapAsync(
          async (given, value, { attempt, signal }) => {
            const { beforeMs, fails } = fateOf(value.id, attempt);
            await wait(beforeMs, signal);
            if (fails) throw new Error('the service is busy');
            probe.saw('call', value.id);
            return [given!, value] as const;
          },
          { name: 'call', concurrency: 8, maxPending: 20, timeoutMs: ATTEMPT_MS, retry: RETRY },
        )
        .groupByKey({ key, value: inputSerde, name: 'called' })
        .aggregate(emptyTrail, extend(probe, 'trail'), { name: 'trail', value: trailSerde, ...stored(probe) });
      return builder.build();
    },
  };
}

/** Records go to a database in batches: exactly once where it remembers the positions, at least once where it does not. */
function batches(name: string, isExact: boolean): (options: PlanOptions) => TopologyPlan {
  return ({ partitions }) => {
    const database = new Database();
    return {
      name,
      inputs: [{ topic: INPUT, partitions }],
      outputs: [],
      relays: [],
      stores: [],
      sinks: [{ name: 'batch', from: [INPUT], database, isExact }],
      pattern: undefined,
      build(probe) {
        const builder = new StreamsBuilder();
        builder.stream(INPUT, { key, value: inputSerde }).forEachBatch(
          async (records, { attempt, signal, positions }) => {
            const ids = records.map(({ value }) => value.id);
            const { beforeMs, fails, afterMs } = fateOf(ids[0]!, attempt);
            // Slow enough that processes are stopped, and tasks go, in the middle of it.
            await wait(beforeMs * 20, signal);
            if (fails && ids[0]! % 2 === 0) throw new Error('out of connections');
            database.store(ids, isExact ? positions : undefined);
            for (const id of ids) probe.saw('batch', id);
            await wait(afterMs, signal);
            if (fails) throw new Error('the connection was lost before the answer came');
          },
          {
            maxRecords: 7,
            maxWaitMs: 300,
            timeoutMs: ATTEMPT_MS,
            retry: RETRY,
            ...(isExact ? { positions: { load: async (at) => database.load(at) } } : {}),
          },
        );
        return builder.build();
      },
    };
  };
}

export const batch = batches('batch', false);
export const exactBatch = batches('exact-batch', true);

/**
 * Topologies made from small pieces by the seed: one to four stages, each behind the last through a repartition topic
 * under another key; at each stage stores of any kind, and now and then a filter before it.
 */
import { type KStream, long, StreamsBuilder, string, TimeWindows } from '../../../src/index.ts';
import { Random } from '../kernel/random.ts';
import { stored } from './aggregations.ts';
import type { PlanOptions } from './index.ts';
import {
  changelogOf,
  emptyTrail,
  extend,
  type Input,
  inputSerde,
  type Probe,
  type Relay,
  repartitionOf,
  type Seen,
  type StorePlan,
  type TopologyPlan,
  trailSerde,
} from './plan.ts';

const INPUT = 'input';
const OUTPUT = 'output';
const WINDOWS = { sizeMs: 20_000, graceMs: (): number => 30_000 };

const KEYS: Readonly<Record<string, (record: Seen) => string>> = {
  by: ({ by }) => by,
  turned: ({ by }) => [...by].reverse().join(''),
  few: ({ id }) => `f${id % 3}`,
  many: ({ id }) => `m${id % 40}`,
};

interface StoreShape {
  readonly name: string;
  readonly holds: 'trail' | 'count';
  readonly windowed: boolean;
  /** Its updates go to the output topic. */
  readonly writes: boolean;
}

interface Stage {
  /** Of its repartition topic; undefined: the input. */
  readonly name: string | undefined;
  readonly keyOf: (record: Seen) => string;
  readonly partitions: number | undefined;
  /** Records that are left out before the stage: those whose number this divides. */
  readonly without: number | undefined;
  readonly stores: readonly StoreShape[];
}

function draw(random: Random, partitions: number): Stage[] {
  const count = random.int(1, 4);
  let stores = 0;
  let writes = false;
  return Array.from({ length: count }, (_, index) => ({
    name: index === 0 ? undefined : `hop${index}`,
    keyOf: index === 0 ? ({ key }) => key : KEYS[random.pick(Object.keys(KEYS))]!,
    partitions: random.chance(0.3) ? random.int(1, partitions + 2) : undefined,
    without: random.chance(0.3) ? random.int(2, 5) : undefined,
    // The last stage has one at least: something must come out.
    stores: Array.from({ length: random.int(index === count - 1 ? 1 : 0, 2) }, () => {
      const shape = {
        name: `s${++stores}`,
        holds: random.pick(['trail', 'trail', 'count'] as const),
        windowed: random.chance(0.3),
      };
      const isFirst = !writes && shape.holds === 'trail' && !shape.windowed && random.chance(0.7);
      writes ||= isFirst;
      return { ...shape, writes: isFirst };
    }),
  }));
}

export function random({ partitions, shape }: PlanOptions): TopologyPlan {
  const stages = draw(new Random(`topology ${shape}`), partitions);
  const topicOf = (index: number): string => (index === 0 ? INPUT : repartitionOf(stages[index]!.name!));
  const passes =
    (stage: Stage) =>
    ({ id }: { readonly id: number }): boolean =>
      stage.without === undefined || id % stage.without !== 0;
  const relays = stages.slice(1).map(
    (stage, index): Relay => ({
      name: stage.name!,
      topic: topicOf(index + 1),
      from: [topicOf(index)],
      accepts: passes(stages[index]!),
      keyOf: stage.keyOf,
    }),
  );
  const stores = stages.flatMap((stage, index) =>
    stage.stores.map(
      ({ name, holds, windowed, writes }): StorePlan => ({
        name,
        holds,
        changelog: changelogOf(name),
        from: [topicOf(index)],
        output: writes ? OUTPUT : undefined,
        windows: windowed ? WINDOWS : undefined,
        accepts: passes(stage),
        keyOf: stage.keyOf,
      }),
    ),
  );
  return {
    name: 'random',
    inputs: [{ topic: INPUT, partitions }],
    outputs: [{ topic: OUTPUT, partitions }],
    relays,
    stores,
    pattern: undefined,
    build(probe) {
      const builder = new StreamsBuilder();
      const key = string();
      let stream: KStream<string | null, Input> = builder.stream(INPUT, { key, value: inputSerde });
      for (const stage of stages) {
        if (stage.name !== undefined) stream = hop(probe, stream, stage);
        const accepts = passes(stage);
        if (stage.without !== undefined) stream = stream.filter((_key, value) => accepts(value));
        for (const shape of stage.stores) keep(probe, stream, shape);
      }
      return builder.build();
    },
  };
}

function hop(
  probe: Probe,
  stream: KStream<string | null, Input>,
  { name, keyOf, partitions }: Stage,
): KStream<string | null, Input> {
  // Behind a repartition topic no key is null; the type of a stream is invariant in its key.
  return stream
    .selectKey((key, value) => {
      probe.saw(name!, value.id);
      return keyOf({ key: key ?? '', ...value });
    })
    .repartition({
      name: name!,
      key: string(),
      value: inputSerde,
      ...(partitions === undefined ? {} : { partitions }),
    }) as unknown as KStream<string | null, Input>;
}

function keep(
  probe: Probe,
  stream: KStream<string | null, Input>,
  { name, holds, windowed, writes }: StoreShape,
): void {
  const grouped = stream.groupByKey({ key: string(), value: inputSerde });
  const count = (_key: unknown, value: Input, seen: number): number => {
    probe.saw(name, value.id);
    return seen + 1;
  };
  const kept = { name, ...stored(probe) };
  if (windowed) {
    const inWindows = grouped.windowedBy(TimeWindows.of(WINDOWS.sizeMs, { grace: WINDOWS.graceMs() }));
    if (holds === 'count') inWindows.aggregate(() => 0, count, { value: long(), ...kept });
    else inWindows.aggregate(emptyTrail, extend(probe, name), { value: trailSerde, ...kept });
  } else if (holds === 'count') grouped.aggregate(() => 0, count, { value: long(), ...kept });
  else {
    const table = grouped.aggregate(emptyTrail, extend(probe, name), { value: trailSerde, ...kept });
    if (writes) table.toStream().to(OUTPUT, { key: string(), value: trailSerde });
  }
}

/** Topics that come, grow, go, and lose records. */
import type { FaultKind } from './fault.ts';
import { during } from './support.ts';

/** A topic that is new under the pattern, with records. */
const newTopic: FaultKind = {
  isOrderly: true,
  weight: 4,
  plan: (random, { topology, partitions }) =>
    topology === 'pattern'
      ? { number: random.int(3, 6), partitions: random.int(1, partitions), records: random.pick([1, 20]) }
      : undefined,
  async apply(world, { number, partitions, records }) {
    const topic = `${world.plan.pattern}${number}`;
    const { cluster } = world;
    if (cluster.owner === undefined || cluster.partitionsOf(topic) > 0) return;
    world.inputTopics.add(topic);
    await cluster.createTopic(topic, Number(partitions));
    world.write(topic, Number(records));
  },
};

/** A topic grows, to no more partitions than another one of the pattern has. */
const growTopic: FaultKind = {
  isOrderly: true,
  weight: 4,
  plan: (_random, { topology, partitions }) =>
    topology === 'pattern' && partitions > 1 ? { topic: 'in-2' } : undefined,
  async apply(world, { topic }) {
    const { cluster, scenario } = world;
    await cluster.growTopic(String(topic), scenario.partitions);
    world.write(String(topic), 20);
  },
};

/** A topic of the pattern is deleted, with what was not read. */
const deleteTopic: FaultKind = {
  weight: 4,
  plan: (_random, { topology, partitions }) =>
    topology === 'pattern' && partitions > 1 ? { topic: 'in-2' } : undefined,
  async apply(world, { topic }) {
    const { cluster } = world;
    world.incomplete.add(String(topic));
    await cluster.deleteTopic(String(topic));
  },
};

/** The topic that is written to is deleted: after a while that is an error for the handler. */
const deleteOutput: FaultKind = {
  mayStop: ['handler MILLRACE_KAFKA_PROTOCOL', 'start MILLRACE_RUNTIME_TOPIC_MISSING'],
  plan: (random, { topology }) =>
    ['by-key', 'by-value', 'two-stores', 'table'].includes(topology) ? { ms: random.pick([5_000, 90_000]) } : undefined,
  async apply(world, { ms }) {
    const { cluster, plan } = world;
    for (const { topic } of plan.outputs) {
      world.incomplete.add(topic);
      await cluster.deleteTopic(topic);
    }
    during(world, Number(ms), async () => {
      for (const { topic, partitions } of plan.outputs) await cluster.createTopic(topic, partitions);
    });
  },
};

/** Retention has deleted what was not read yet, or was. */
const trim: FaultKind = {
  plan: (random, { topology }) => (topology === 'pattern' ? undefined : { share: random.pick([0.3, 1]) }),
  async apply(world, { share }) {
    const { cluster } = world;
    world.incomplete.add('input');
    await cluster.trimTopic('input', Number(share));
  },
};

/** The brokers compact the changelogs. */
const compact: FaultKind = {
  isOrderly: true,
  weight: 2,
  plan: () => ({}),
  async apply(world) {
    for (const { changelog } of world.plan.stores) await world.cluster.compact(changelog);
  },
};

export const topicFaults = {
  'new-topic': newTopic,
  'grow-topic': growTopic,
  'delete-topic': deleteTopic,
  'delete-output': deleteOutput,
  trim,
  compact,
};

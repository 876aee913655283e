/** Topics and their configs: what operators are answered, on Apache Kafka and on the embedded broker. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait.ts';

const NO_ID = '0'.repeat(32);
let client: RawClient;
beforeAll(async () => {
  client = await RawClient.connect(inject('brokers')[0]!);
});
afterAll(() => client.close());

interface NewTopic {
  readonly name: string;
  readonly partitions?: number;
  readonly replicationFactor?: number;
  readonly configs?: readonly { readonly name: string; readonly value: string | null }[];
}

async function create(topics: readonly NewTopic[], validateOnly = false) {
  const answer = await client.call('CreateTopics', 7, {
    topics: topics.map((topic) => ({ partitions: 1, replicationFactor: 1, assignments: [], configs: [], ...topic })),
    timeoutMs: 10_000,
    validateOnly,
  });
  return answer.topics;
}

async function created(configs: NewTopic['configs'] = []): Promise<string> {
  const name = `t-${randomUUID()}`;
  const [topic] = await create([{ name, configs }]);
  expect(topic.errorCode).toBe(0);
  await waitFor(async () => (await metadata(name)).errorCode === 0);
  return name;
}

async function metadata(name: string) {
  const answer = await client.call('Metadata', 12, {
    topics: [{ topicId: NO_ID, name }],
    allowAutoTopicCreation: false,
    includeTopicOperations: false,
  });
  return answer.topics[0];
}

test('topics are made with what was asked for, and refused where they cannot be', async () => {
  const name = `t-${randomUUID()}`;
  const [made] = await create([{ name, partitions: 3, configs: [{ name: 'retention.ms', value: '5000' }] }]);
  expect(made).toMatchObject({ errorCode: 0, partitions: 3, replicationFactor: 1 });
  expect(made.configs.find((c: { name: string }) => c.name === 'retention.ms')).toMatchObject({
    value: '5000',
    source: 1,
  });
  await waitFor(async () => (await metadata(name)).errorCode === 0);
  const known = await metadata(name);
  expect(known.partitions.map((p: { partition: number }) => p.partition).sort()).toEqual([0, 1, 2]);
  expect(known.topicId).toBe(made.topicId);
  const code = async (topic: NewTopic) => (await create([topic]))[0].errorCode;
  expect(await code({ name })).toBe(36);
  expect(await code({ name: 'not/allowed' })).toBe(17);
  expect(await code({ name: 'x', partitions: 0 })).toBe(37);
  expect(await code({ name: 'x', replicationFactor: 3 })).toBe(38);
  expect(await code({ name: 'x', configs: [{ name: 'no.such.config', value: '1' }] })).toBe(40);
  expect(await code({ name: 'x', configs: [{ name: 'retention.ms', value: 'long' }] })).toBe(40);
  expect(await code({ name: 'x', configs: [{ name: 'cleanup.policy', value: 'burn' }] })).toBe(40);
  const twice = `t-${randomUUID()}`;
  expect((await create([{ name: twice }, { name: twice }])).map((t: { errorCode: number }) => t.errorCode)).toContain(
    42,
  );
  const tried = `t-${randomUUID()}`;
  expect((await create([{ name: tried }], true))[0].errorCode).toBe(0);
  expect((await metadata(tried)).errorCode).toBe(3);
});

test('a name that differs from a topic’s in periods and underscores only is refused: metrics could not tell them apart', async () => {
  const id = randomUUID();
  const refusal = async (name: string) => {
    const [topic] = await create([{ name, partitions: 0 }]);
    return [topic.errorCode, topic.errorMessage];
  };
  await create([{ name: `a.b_c-${id}` }]);
  const collides = (name: string) => [17, `Topic '${name}' collides with existing topic: a.b_c-${id}`];
  for (const name of [`a_b_c-${id}`, `a.b.c-${id}`, `a_b.c-${id}`]) expect(await refusal(name)).toEqual(collides(name));
  expect((await refusal(`a-b_c-${id}`))[0]).toBe(37);
  // Of two in one request neither is there yet: both are made, by Apache Kafka as well.
  const both = await create([{ name: `x.y-${id}` }, { name: `x_y-${id}` }]);
  expect(both.map((topic: { errorCode: number }) => topic.errorCode)).toEqual([0, 0]);
  const invalid = "contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'";
  expect(await refusal('not/allowed')).toEqual([17, `Topic name is invalid: 'not/allowed' ${invalid}`]);
  expect(await refusal('..')).toEqual([17, "Topic name is invalid: '..' is not allowed"]);
  expect(await refusal('')).toEqual([17, 'Topic name is invalid: the empty string is not allowed']);
  // A topic that is gone is in nobody's way.
  await client.call('DeleteTopics', 6, { topics: [{ name: `a.b_c-${id}`, topicId: NO_ID }], timeoutMs: 10_000 });
  await waitFor(async () => (await create([{ name: `a_b_c-${id}` }]))[0].errorCode === 0);
});

test('a topic is found by its id, and gone when it is deleted', async () => {
  const name = await created();
  const { topicId } = await metadata(name);
  const byId = await client.call('Metadata', 12, {
    topics: [{ topicId, name: null }],
    allowAutoTopicCreation: false,
    includeTopicOperations: false,
  });
  expect(byId.topics[0]).toMatchObject({ errorCode: 0, name });
  const remove = async (topic: object) =>
    (await client.call('DeleteTopics', 6, { topics: [topic], timeoutMs: 10_000 })).topics[0].errorCode;
  expect(await remove({ name: null, topicId })).toBe(0);
  await waitFor(async () => (await metadata(name)).errorCode === 3);
  expect(await remove({ name, topicId: NO_ID })).toBe(3);
  expect(await remove({ name: null, topicId })).toBe(100);
});

test('partitions can grow only', async () => {
  const name = await created();
  const grow = async (count: number) =>
    (
      await client.call('CreatePartitions', 3, {
        topics: [{ name, count, assignments: null }],
        timeoutMs: 10_000,
        validateOnly: false,
      })
    ).results[0].errorCode;
  expect(await grow(3)).toBe(0);
  await waitFor(async () => (await metadata(name)).partitions.length === 3);
  expect([await grow(3), await grow(1)]).toEqual([37, 37]);
});

test('configs are read, changed one by one, and replaced', async () => {
  const name = await created([{ name: 'retention.ms', value: '5000' }]);
  const configs = async (): Promise<Record<string, string>> => {
    const { results } = await client.call('DescribeConfigs', 4, {
      resources: [{ resourceType: 2, name, configNames: null }],
      includeSynonyms: false,
      includeDocumentation: false,
    });
    const own = results[0].configs.filter((c: { source: number }) => c.source === 1);
    return Object.fromEntries(own.map((c: { name: string; value: string }) => [c.name, c.value]));
  };
  const alter = async (config: string, operation: number, value: string | null) =>
    (
      await client.call('IncrementalAlterConfigs', 1, {
        resources: [{ resourceType: 2, name, configs: [{ name: config, operation, value }] }],
        validateOnly: false,
      })
    ).results[0].errorCode;
  expect(await configs()).toEqual({ 'retention.ms': '5000' });
  expect(await alter('cleanup.policy', 2, 'compact')).toBe(0);
  await waitFor(async () => (await configs())['cleanup.policy'] === 'delete,compact');
  expect(await alter('cleanup.policy', 3, 'delete')).toBe(0);
  expect(await alter('retention.ms', 1, null)).toBe(0);
  await waitFor(async () => Object.keys(await configs()).length === 1);
  expect(await configs()).toEqual({ 'cleanup.policy': 'compact' });
  expect(await alter('retention.ms', 0, '-5')).toBe(40);
  const replaced = await client.call('AlterConfigs', 2, {
    resources: [{ resourceType: 2, name, configs: [{ name: 'segment.ms', value: '7000' }] }],
    validateOnly: false,
  });
  expect(replaced.results[0].errorCode).toBe(0);
  await waitFor(async () => (await configs())['segment.ms'] === '7000');
  expect(await configs()).toEqual({ 'segment.ms': '7000' });
  const unknown = await client.call('DescribeConfigs', 4, {
    resources: [{ resourceType: 2, name: `none-${name}`, configNames: null }],
    includeSynonyms: false,
    includeDocumentation: false,
  });
  expect(unknown.results[0].errorCode).toBe(3);
});

/** Who is believed when brokers tell different things of a topic, and how often they are asked. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ByteWriter } from '../../src/bytes.ts';
import { findApi } from '../../src/embedded/broker/apis/index.ts';
import { FrameReader } from '../../src/embedded/broker/wire-types.ts';
import { KafkaCluster } from '../../src/kafka/index.ts';
import { mergeTopic } from '../../src/kafka/metadata.ts';
import type { MetadataResponse, TopicMetadata } from '../../src/kafka/requests/03-metadata.ts';
import type { ApiRequest } from '../../src/kafka/requests/request.ts';

type Led = readonly [leader: number, leaderEpoch: number];

function topic(partitions: readonly Led[], topicId = '1', errorCode = 0, name = 't'): TopicMetadata {
  return {
    topic: name,
    errorCode,
    topicId: topicId.padStart(32, '0'),
    isInternal: false,
    partitions: partitions.map(([leader, leaderEpoch], partition) => ({
      partition,
      errorCode: 0,
      leader,
      leaderEpoch,
    })),
  };
}

const led = ({ partitions }: TopicMetadata): Led[] =>
  partitions.map(({ leader, leaderEpoch }) => [leader, leaderEpoch] as const);

describe('an answer about a topic that is known', () => {
  test('with an older leader epoch is ignored for that partition, and taken for the others', () => {
    const known = topic([
      [1, 5],
      [2, 3],
    ]);
    expect(
      led(
        mergeTopic(
          known,
          topic([
            [3, 4],
            [3, 4],
          ]),
        ),
      ),
    ).toEqual([
      [1, 5],
      [3, 4],
    ]);
  });

  test('with the same epoch and no leader is taken: it has lost it', () => {
    expect(led(mergeTopic(topic([[1, 5]]), topic([[-1, 5]])))).toEqual([[-1, 5]]);
  });

  test('without epochs is taken as it is', () => {
    expect(led(mergeTopic(topic([[1, 5]]), topic([[2, -1]])))).toEqual([[2, -1]]);
  });

  test('with fewer partitions is of a broker that lags: they never become fewer', () => {
    const known = topic([
      [1, 0],
      [2, 0],
      [3, 0],
    ]);
    expect(led(mergeTopic(known, topic([[1, 1]])))).toEqual([
      [1, 1],
      [2, 0],
      [3, 0],
    ]);
  });

  test('with another id is of another topic of that name: nothing of the old one counts', () => {
    const known = topic([
      [1, 7],
      [2, 7],
    ]);
    expect(led(mergeTopic(known, topic([[3, 0]], '2')))).toEqual([[3, 0]]);
  });

  test('with an error is shown as it is', () => {
    expect(mergeTopic(topic([[1, 5]]), topic([], '0', 3))).toMatchObject({ errorCode: 3, partitions: [] });
  });
});

test('partitions come in any order, and some may be left out: the nth is partition n', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat({ max: 30 }), { minLength: 1 }), (numbers) => {
      const partitions = numbers.map((partition) => ({ partition, errorCode: 0, leader: 1, leaderEpoch: 0 }));
      const merged = mergeTopic(undefined, { ...topic([]), partitions }).partitions;
      expect(merged.map(({ partition }) => partition)).toEqual(Array.from(merged, (_, i) => i));
      for (const number of numbers) expect(merged[number]!.leader).toBe(1);
      expect(merged.filter(({ leader }) => leader < 0)).toHaveLength(merged.length - numbers.length);
    }),
  );
});

describe('a cluster', () => {
  let cluster: KafkaCluster;
  let answers: ((topics: readonly TopicMetadata[]) => void)[];
  let asked: string[][];

  beforeEach(() => {
    cluster = new KafkaCluster({ kafka: { brokers: ['127.0.0.1:1'] } });
    answers = [];
    asked = [];
    cluster.connections.sendToAny = <T>(request: ApiRequest<T>) =>
      new Promise<T>((resolve) => {
        asked.push(topicsOf(request));
        answers.push((topics) => {
          const answer: MetadataResponse = {
            throttleTimeMs: 0,
            brokers: [{ nodeId: 1, host: '127.0.0.1', port: 1, rack: null }],
            clusterId: null,
            controllerId: 1,
            topics,
          };
          resolve(answer as T);
        });
      });
  });
  afterEach(() => cluster.close());

  test('asks once for what was asked for while a request was out', async () => {
    const first = cluster.refresh(['a']);
    await Promise.resolve();
    const rest = [cluster.refresh(['b']), cluster.refresh(['a', 'c']), cluster.refresh([])];
    answers[0]!([topic([[1, 0]], '1', 0, 'a')]);
    await first;
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toEqual([['a'], ['b', 'a', 'c']]);
    answers[1]!([]);
    await Promise.all(rest);
    expect(cluster.leaderOf('a', 0)).toBe(1);
  });

  test('keeps the newer epoch through an answer that the topic is unknown, and forgets it where the topic is another', async () => {
    const hear = async (answer: TopicMetadata): Promise<readonly [number, number]> => {
      const refreshing = cluster.refresh(['t']);
      await new Promise((resolve) => setImmediate(resolve));
      answers.at(-1)!([answer]);
      await refreshing;
      return [cluster.leaderOf('t', 0), cluster.leaderEpochOf('t', 0)];
    };
    expect(await hear(topic([[1, 5]]))).toEqual([1, 5]);
    expect(await hear(topic([], '0', 3))).toEqual([-1, -1]);
    expect(await hear(topic([[2, 4]]))).toEqual([1, 5]);
    expect(await hear(topic([[2, 6]]))).toEqual([2, 6]);
    expect(await hear(topic([[3, 0]], '2'))).toEqual([3, 0]);
  });
});

function topicsOf(request: ApiRequest<unknown>): string[] {
  const out = new ByteWriter();
  request.write(out);
  const body = findApi(request.apiKey)!.request.read(new FrameReader(out.copy(), 0, request.apiVersion, true));
  return body.topics.map(({ name }: { readonly name: string }) => name);
}

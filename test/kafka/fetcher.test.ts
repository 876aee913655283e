/** The fetcher on brokers of a model, in virtual time: what stands still, who is believed, and what a round costs. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  ErrorCode,
  Fetcher,
  type FetcherOptions,
  KafkaProtocolError,
  type PartitionBuffer,
} from '../../src/kafka/index.ts';
import { STAND_BACK_MS } from '../../src/kafka/stand-back.ts';
import { ModelLeaders } from '../support/model-leaders.ts';
import { settled, useVirtualTime } from '../support/virtual-time.ts';

let cluster: ModelLeaders;
let fetcher: Fetcher;
/** When what cannot be fetched has surely stood back: the bound, what a broker may hold an answer, and the look. */
const STOOD_BACK_MS = STAND_BACK_MS + 500 + 1_000;

beforeEach(() => {
  useVirtualTime();
  cluster = new ModelLeaders();
});
afterEach(async () => {
  await settled(fetcher.close());
  vi.useRealTimers();
});

async function start(
  options: FetcherOptions,
  ...positions: readonly (readonly [partition: number, offset: number, epoch?: number])[]
): Promise<PartitionBuffer[]> {
  fetcher = new Fetcher(cluster, options);
  const buffers = positions.map(([partition, offset, epoch]) => fetcher.add({ topic: 't', partition }, offset, epoch));
  await settled(fetcher.start());
  return buffers;
}

/** What is there now, for as long as `most` says. */
function take(buffer: PartitionBuffer, most = Number.POSITIVE_INFINITY): string[] {
  const values: string[] = [];
  while (values.length < most) {
    const cursor = buffer.next();
    if (cursor === undefined) break;
    values.push(String(cursor.value()));
  }
  fetcher.wake();
  return values;
}

/** As a stream thread does: it looks every now and then. */
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    fetcher.wake();
    await vi.advanceTimersByTimeAsync(100);
  }
}

describe('out of range', () => {
  test("under 'none' the partition is not asked for again, and the failure is told; others go on", async () => {
    cluster.lead(0, 1, 0, ['a']);
    const other = cluster.lead(1, 1, 0, ['b']);
    const [, good] = await start({}, [0, 99], [1, 0]);
    await pass(1_000);
    expect(fetcher.failure).toMatchObject({ code: 'MILLRACE_KAFKA_OFFSET_OUT_OF_RANGE', topic: 't', partition: 0 });
    await expect(fetcher.waitForData(1)).rejects.toBe(fetcher.failure);
    const before = cluster.requests('Fetch').length;
    other.log.push({ epoch: 0, value: 'c' });
    await pass(10_000);
    expect(take(good!)).toEqual(['b', 'c']);
    const after = cluster.requests('Fetch').slice(before);
    expect(after.length).toBeLessThan(40);
    expect(JSON.stringify(after.map(({ body }) => body.topics))).not.toContain('"partition":0');
  });

  test('is not believed of a leader that is none any more', async () => {
    cluster.lead(0, 1, 4, ['a']);
    cluster.lead(0, 2, 5, ['a', 'b', 'c', 'd']);
    // The broker that was cut off still thinks that it leads, and the metadata is as old.
    cluster.metadata.set('t-0', { leader: 1, epoch: 4 });
    let asked = 0;
    cluster.onRefresh = () => {
      if (++asked === 2) cluster.metadata.set('t-0', { leader: 2, epoch: 5 });
    };
    const resets: number[] = [];
    const onReset = (_at: unknown, offset: number): void => void resets.push(offset);
    const [buffer] = await start({ resetPolicy: () => 'earliest', onReset }, [0, 3]);
    await pass(2_000);
    expect(take(buffer!)).toEqual(['d']);
    expect([resets, cluster.requests('ListOffsets')]).toEqual([[], []]);
  });

  test('of the leader: the position is reset by the policy', async () => {
    cluster.lead(0, 1, 4, ['a', 'b']);
    const resets: unknown[] = [];
    const onReset = (...told: unknown[]): void => void resets.push(told);
    const [buffer] = await start({ resetPolicy: () => 'earliest', onReset }, [0, 99]);
    await pass(1_000);
    expect(take(buffer!)).toEqual(['a', 'b']);
    expect(resets).toEqual([[{ topic: 't', partition: 0 }, 0, 'earliest']]);
    expect(cluster.requests('ListOffsets')[0]!.body.topics[0].partitions[0].currentLeaderEpoch).toBe(4);
  });
});

describe('a partition that cannot be fetched is waited for a few seconds, and stands back', () => {
  async function standsBack(break_: () => void, mend: () => void, why: RegExp): Promise<void> {
    cluster.lead(0, 1, 0, ['a']);
    cluster.lead(1, 2, 0, ['b']);
    const [good, bad] = await start({}, [0, 0], [1, 0]);
    await pass(200);
    expect([take(good!), take(bad!)]).toEqual([['a'], ['b']]);
    // More than was fetched is known to be there.
    bad!.highWatermark = 100;
    (bad as unknown as { fetchOffset: number }).fetchOffset = 1;
    break_();
    await pass(STAND_BACK_MS - 500);
    expect(bad!.standsBack).toBe(false);
    await pass(STOOD_BACK_MS);
    expect([bad!.standsBack, bad!.expectsMore, good!.standsBack]).toEqual([true, false, false]);
    await pass(20_000);
    const told = cluster.warnings().filter(({ message }) => message.startsWith('partition cannot be fetched'));
    expect(told).toHaveLength(1);
    expect(told[0]!.fields).toMatchObject({ topic: 't', partition: 1, error: expect.stringMatching(why) });
    cluster.replicas.get('t-0')!.get(1)!.log.push({ epoch: 0, value: 'meanwhile' });
    await pass(1_000);
    expect(take(good!)).toEqual(['meanwhile']);
    mend();
    await pass(5_000);
    expect([bad!.standsBack, bad!.expectsMore]).toEqual([false, false]);
    expect(cluster.logged.filter(({ message }) => message === 'partition is fetched again')).toHaveLength(1);
  }

  test('without a leader', async () => {
    await standsBack(
      () => {
        cluster.replicas.get('t-1')!.get(2)!.epoch = -1;
        cluster.metadata.set('t-1', { leader: -1, epoch: 0 });
      },
      () => cluster.lead(1, 2, 0, ['b']),
      /NOT_LEADER|no leader/,
    );
  });

  test('its broker is not in the metadata', async () => {
    await standsBack(
      () => cluster.setNode(2, false),
      () => cluster.setNode(2, true),
      /broker 2, is not in the cluster's metadata/,
    );
  });

  test('its broker cannot be reached', async () => {
    await standsBack(
      () => cluster.unreachable.add(2),
      () => cluster.unreachable.delete(2),
      /nobody at 2/,
    );
  });

  test('it is answered with errors', async () => {
    let code: number = ErrorCode.KAFKA_STORAGE_ERROR;
    cluster.fault = (_topic, partition) => (partition === 1 && isBroken ? code : 0);
    let isBroken = false;
    await standsBack(
      () => {
        isBroken = true;
      },
      () => {
        code = 0;
      },
      /KAFKA_STORAGE_ERROR/,
    );
  });

  test('nothing was answered ever, its broker says nothing, and others go on', async () => {
    cluster.lead(0, 1, 0, ['a']);
    cluster.lead(1, 2, 0, ['b']);
    cluster.silent.add(2);
    const [good, bad] = await start({}, [0, 0], [1, 0]);
    expect([bad!.highWatermark, bad!.expectsMore]).toEqual([-1, true]);
    await pass(STOOD_BACK_MS);
    expect([take(good!), bad!.expectsMore]).toEqual([['a'], false]);
    expect(cluster.warnings()[0]!.fields).toMatchObject({ partition: 1, error: 'no answer from broker 2' });
  });

  test('a fetcher that is started anew waits for it again', async () => {
    cluster.lead(0, -1, 0);
    const [before] = await start({}, [0, 0]);
    await pass(STOOD_BACK_MS);
    expect(before!.expectsMore).toBe(false);
    await settled(fetcher.close());
    const [after] = await start({}, [0, 0]);
    await pass(1_000);
    expect(after!.expectsMore).toBe(true);
  });

  test('one that nobody asks for, since its buffer is full, does not', async () => {
    cluster.lead(
      0,
      1,
      0,
      Array.from({ length: 10 }, () => 'x'.repeat(100)),
    );
    const [buffer] = await start({ maxBufferedBytesPerPartition: 100 }, [0, 0]);
    await pass(30_000);
    expect([buffer!.standsBack, cluster.warnings()]).toEqual([false, []]);
  });

  test('a step of the clock is no time in which it could have been fetched', async () => {
    cluster.lead(0, 1, 0, ['a']);
    const [buffer] = await start({}, [0, 0]);
    await pass(1_000);
    for (const step of [3_600_000, -7_200_000]) {
      vi.setSystemTime(Date.now() + step);
      await pass(2_000);
    }
    cluster.replicas.get('t-0')!.get(1)!.log.push({ epoch: 0, value: 'b' });
    await pass(1_000);
    expect([take(buffer!), cluster.warnings()]).toEqual([['a', 'b'], []]);
  });
});

test('metadata that nobody answers holds up no partition whose leader is known', async () => {
  const replica = cluster.lead(0, 1, 0, ['a']);
  const [buffer] = await start({}, [0, 0]);
  await pass(200);
  cluster.refresh = () => cluster.untilClosed();
  fetcher.add({ topic: 'other', partition: 0 }, 0);
  for (let i = 0; i < 5; i++) {
    await pass(1_000);
    replica.log.push({ epoch: 0, value: String(i) });
  }
  await pass(1_000);
  expect(take(buffer!)).toEqual(['a', '0', '1', '2', '3', '4']);
});

test('leaders are looked at again now and then, though nothing fails', async () => {
  cluster.lead(0, 1, 0, ['a']);
  await start({ metadataMaxAgeMs: 60_000 }, [0, 0]);
  await pass(2_000);
  const before = cluster.refreshes;
  await pass(59_000);
  expect(cluster.refreshes).toBe(before + 1);
});

test('what no try can mend ends the fetching, without asking on', async () => {
  cluster.lead(0, 1, 0, ['a']);
  const send = cluster.send.bind(cluster);
  cluster.send = async (nodeId, request) => {
    await send(nodeId, request);
    throw new KafkaProtocolError(ErrorCode.UNSUPPORTED_VERSION, 'Fetch');
  };
  await start({}, [0, 0]);
  await pass(5_000);
  expect(fetcher.failure).toMatchObject({ code: 'MILLRACE_KAFKA_PROTOCOL' });
  expect(cluster.requests('Fetch')).toHaveLength(1);
});

describe('leader epochs (KIP-320)', () => {
  test('go with each fetch; a broker that refuses one is asked with the new one', async () => {
    const replica = cluster.lead(0, 1, 7, ['a']);
    const [buffer] = await start({}, [0, 0]);
    await pass(200);
    replica.epoch = 8;
    cluster.metadata.set('t-0', { leader: 1, epoch: 8 });
    replica.log.push({ epoch: 8, value: 'b' });
    await pass(2_000);
    expect(take(buffer!)).toEqual(['a', 'b']);
    const epochs = cluster.requests('Fetch').map(({ body }) => body.topics[0].partitions[0].currentLeaderEpoch);
    expect([epochs[0], epochs.at(-1)]).toEqual([7, 8]);
  });

  test('the epoch of a position is that of the last record handed out', async () => {
    const { log } = cluster.lead(0, 1, 9);
    for (const epoch of [3, 3, 9]) log.push({ epoch, value: String(epoch) });
    const [buffer] = await start({}, [0, 0]);
    await pass(200);
    const seen: number[] = [buffer!.positionEpoch];
    for (let i = 0; i < 3; i++) {
      take(buffer!, 1);
      seen.push(buffer!.positionEpoch);
    }
    expect(seen).toEqual([-1, 3, 3, 9]);
  });

  /** Ten records of epoch 2 at broker 1; broker 2 takes over with five of them, and writes others behind. */
  function uncleanElection(): void {
    const { log } = cluster.lead(0, 2, 3);
    for (let i = 0; i < 5; i++) log.push({ epoch: 2, value: String(i) });
    for (const value of ['A', 'B', 'C', 'D', 'E', 'F', 'G']) log.push({ epoch: 3, value });
    cluster.replicas.get('t-0')!.get(1)!.epoch = -1;
  }
  const ten = Array.from({ length: 10 }, (_, i) => String(i));

  test('a log that was truncated below the position: it goes on where it diverges, and says so', async () => {
    cluster.lead(0, 1, 2, ten);
    const told: unknown[] = [];
    const onTruncated = (...what: unknown[]): void => void told.push(what);
    const [buffer] = await start({ resetPolicy: () => 'latest', onTruncated }, [0, 0]);
    await pass(200);
    expect(take(buffer!)).toEqual(ten);
    uncleanElection();
    await pass(3_000);
    expect(told).toEqual([[{ topic: 't', partition: 0 }, 10, 5]]);
    expect(take(buffer!)).toEqual(['A', 'B', 'C', 'D', 'E', 'F', 'G']);
    expect(cluster.warnings().map(({ message }) => message)).toContain(
      'the log was truncated, going on where it diverges',
    );
    const asked = cluster.requests('OffsetForLeaderEpoch')[0]!;
    expect([asked.nodeId, asked.body.topics[0].partitions[0]]).toEqual([
      2,
      { partition: 0, currentLeaderEpoch: 3, leaderEpoch: 2 },
    ]);
  });

  test('what is buffered of the old log is dropped; nobody is told, since nothing of it was handed out', async () => {
    cluster.lead(0, 1, 2, ten);
    const told: unknown[] = [];
    const [buffer] = await start({ resetPolicy: () => 'none', onTruncated: (...what) => void told.push(what) }, [0, 0]);
    await pass(200);
    expect(take(buffer!, 3)).toEqual(['0', '1', '2']);
    uncleanElection();
    await pass(3_000);
    expect(take(buffer!)).toEqual(['3', '4', 'A', 'B', 'C', 'D', 'E', 'F', 'G']);
    expect([told, fetcher.failure]).toEqual([[], undefined]);
  });

  test("under 'none' a truncation is an error", async () => {
    cluster.lead(0, 1, 2, ten);
    const [buffer] = await start({}, [0, 0]);
    await pass(200);
    take(buffer!);
    uncleanElection();
    await pass(3_000);
    expect(fetcher.failure).toMatchObject({
      code: 'MILLRACE_KAFKA_LOG_TRUNCATED',
      topic: 't',
      partition: 0,
      offset: 10,
      divergence: 5,
    });
    expect(buffer!.next()).toBeUndefined();
  });

  test('a committed epoch is validated before the first fetch', async () => {
    cluster.lead(0, 1, 2, ten);
    uncleanElection();
    const [buffer] = await start({ resetPolicy: () => 'earliest' }, [0, 8, 2]);
    await pass(1_000);
    expect(take(buffer!)).toEqual(['A', 'B', 'C', 'D', 'E', 'F', 'G']);
    expect(cluster.seen.map(({ api }) => api).slice(0, 2)).toEqual(['OffsetForLeaderEpoch', 'Fetch']);
  });

  test('a leader that knows no such epoch, nor one before: the position is reset', async () => {
    cluster.lead(0, 1, 5, ten);
    const [buffer] = await start({ resetPolicy: () => 'earliest' }, [0, 8, 2]);
    await pass(1_000);
    expect(take(buffer!)).toEqual(ten);
  });

  test('without an epoch of its own a position is not validated, and a sound one goes on as it is', async () => {
    cluster.lead(0, 1, 2, ten);
    cluster.lead(1, 1, 2, ten);
    const [none, sound] = await start({}, [0, 8], [1, 8, 2]);
    await pass(1_000);
    expect([take(none!), take(sound!)]).toEqual([
      ['8', '9'],
      ['8', '9'],
    ]);
    const asked = cluster.requests('OffsetForLeaderEpoch').map(({ body }) => body.topics[0].partitions);
    expect(asked).toEqual([[{ partition: 1, currentLeaderEpoch: 2, leaderEpoch: 2 }]]);
  });

  test('a leader that cannot tell yet is asked again, not at once', async () => {
    cluster.lead(0, 1, 2, ten);
    cluster.fault = () => ErrorCode.UNKNOWN_LEADER_EPOCH;
    const [buffer] = await start({}, [0, 8, 2]);
    await pass(5_000);
    expect(cluster.requests('OffsetForLeaderEpoch').length).toBeLessThan(10);
    cluster.fault = () => 0;
    await pass(3_000);
    expect(take(buffer!)).toEqual(['8', '9']);
  });
});

describe('a round of requests', () => {
  /** How often the fetcher looks at a partition in some rounds over `count` of them. */
  async function looks(count: number): Promise<number> {
    cluster = new ModelLeaders();
    for (let partition = 0; partition < count; partition++) cluster.lead(partition, 1, 0, ['a']);
    fetcher = new Fetcher(cluster, { maxBufferedBytesPerPartition: 0 });
    let read = 0;
    for (let partition = 0; partition < count; partition++) {
      const buffer = fetcher.add({ topic: 't', partition }, 0);
      for (const name of ['partition', 'fetchOffset', 'paused', 'failed'] as const) {
        let value = buffer[name];
        Object.defineProperty(buffer, name, {
          get() {
            read++;
            return value;
          },
          set(next) {
            value = next;
          },
        });
      }
    }
    await settled(fetcher.start());
    await pass(1_000);
    expect(cluster.requests('Fetch')).toHaveLength(1);
    await settled(fetcher.close());
    return read;
  }

  test('costs time in the number of partitions, not in its square', async () => {
    const few = await looks(1_000);
    expect((await looks(4_000)) / few).toBeLessThan(4.4);
  });

  test('looks leaders up when the metadata is another, not each time', async () => {
    for (let partition = 0; partition < 500; partition++) cluster.lead(partition, 1, 0, ['a']);
    const buffers = await start({}, ...Array.from({ length: 500 }, (_, partition) => [partition, 0] as const));
    await pass(1_000);
    const { lookUps } = cluster;
    const rounds = cluster.requests('Fetch').length;
    for (let i = 0; i < 20; i++) {
      for (const buffer of buffers) take(buffer);
      await pass(100);
    }
    expect(cluster.requests('Fetch').length).toBeGreaterThan(rounds);
    expect(cluster.lookUps).toBe(lookUps);
  });
});

test('an option that is undefined counts as absent', async () => {
  cluster.lead(0, 1, 0, ['a']);
  const [buffer] = await start({ maxWaitMs: undefined, maxBytes: undefined, resetPolicy: undefined } as never, [0, 0]);
  await pass(1_000);
  expect(take(buffer!)).toEqual(['a']);
  expect(cluster.requests('Fetch')[0]!.body).toMatchObject({ maxWaitMs: 500, maxBytes: 8 * 1024 * 1024 });
});

test('behind an open transaction there is nothing to wait for', async () => {
  const { PartitionBuffer } = await import('../../src/kafka/index.ts');
  const answer = {
    topic: 't',
    partition: 0,
    errorCode: 0,
    highWatermark: 10,
    lastStableOffset: 4,
    logStartOffset: 0,
    abortedTransactions: [],
    records: Buffer.alloc(0),
  };
  const [committed, all] = [new PartitionBuffer('t', 0, 4), new PartitionBuffer('t', 0, 4)];
  committed.add(answer, true, {});
  all.add(answer, false, {});
  expect([committed.expectsMore, committed.lag, all.expectsMore, all.lag]).toEqual([false, 0, true, 6]);
  fetcher = new Fetcher(cluster);
});

test('close leaves no timer, whatever is on its way', async () => {
  cluster.lead(0, 1, 0, ['a']);
  cluster.lead(1, 2, 0, ['b']);
  cluster.unreachable.add(2);
  cluster.fault = (_topic, partition) => (partition === 0 ? ErrorCode.OFFSET_OUT_OF_RANGE : 0);
  await start({ resetPolicy: () => 'earliest' }, [0, 99], [1, 0]);
  await pass(2_000);
  await settled(fetcher.close());
  // Of the model: what it was about to answer.
  await vi.advanceTimersByTimeAsync(1_000);
  expect(vi.getTimerCount()).toBe(0);
});

/**
 * Brings stores up to date from their changelogs: from the position the local database carries to the end of the log,
 * in batches. Where the position cannot be trusted, the store is rebuilt from the beginning.
 */
import { nowReading } from '../../byte-views.ts';
import {
  describeTopicConfigs,
  Fetcher,
  KafkaCluster,
  listOffsets,
  type PartitionBuffer,
  partitionKey,
} from '../../kafka/index.ts';
import type { BackendBatch } from '../../state/index.ts';
import type { Metrics } from '../metrics.ts';
import type { ResolvedOptions } from '../options.ts';
import { type RideOutOptions, rideOut } from '../ride-out.ts';
import type { Task } from '../task/task.ts';

const BATCH_RECORDS = 10_000;
const POLL_MS = 100;
const LOG_EVERY_MS = 5_000;

interface Restoring {
  readonly task: Task;
  readonly store: string;
  readonly buffer: PartitionBuffer;
  readonly from: number;
  readonly end: number;
  /** A batch is being written: one at a time, so that an older one never comes after a newer. */
  writing: boolean;
}

export interface RestoreListener {
  /** Called as restoring gets on, and when it ends (`remaining` 0). */
  onProgress(topic: string, partition: number, restored: number, remaining: number): void;
}

/**
 * Where to restore from. Pure.
 * @param position the local one; undefined: none
 * @param ageMs since the position was written; older than the topic keeps tombstones means that deletes may be missed
 */
export function restoreFrom(
  position: number | undefined,
  start: number,
  end: number,
  ageMs: number,
  deleteRetentionMs: number,
): { readonly offset: number; readonly wipe: boolean } {
  if (position === undefined) return { offset: start, wipe: false };
  if (position > end || position < start || ageMs > deleteRetentionMs) return { offset: start, wipe: true };
  return { offset: position, wipe: false };
}

/** Restores every store of the tasks. Rides outages out. */
export async function restoreTasks(
  tasks: readonly Task[],
  options: ResolvedOptions,
  admin: KafkaCluster,
  metrics: Metrics,
  listener: RestoreListener | undefined,
  riding: RideOutOptions,
): Promise<void> {
  const logged = tasks.flatMap((task) =>
    [...task.state.stores.keys()].flatMap((store) => {
      const topic = task.options.changelogTopic(store);
      return topic === undefined ? [] : [{ task, store, topic, partition: task.id.partition }];
    }),
  );
  if (logged.length === 0) {
    for (const task of tasks) task.state.restored();
    return;
  }
  const [starts, ends, configs] = await rideOut(
    async () =>
      [
        await listOffsets(admin, logged, 'earliest'),
        await listOffsets(admin, logged, 'latest'),
        await describeTopicConfigs(admin, [...new Set(logged.map((l) => l.topic))]),
      ] as const,
    riding,
  );
  const cluster = new KafkaCluster({ kafka: options.kafka, logger: options.logger });
  const fetcher = new Fetcher(cluster, {
    resetPolicy: () => 'earliest',
    maxBufferedBytesPerPartition: 2 * 1024 * 1024,
  });
  try {
    const restoring: Restoring[] = [];
    for (const { task, store, topic, partition } of logged) {
      const key = partitionKey({ topic, partition });
      const end = ends.get(key)!;
      const deleteRetentionMs = Number(configs.get(topic)?.get('delete.retention.ms') ?? 86_400_000);
      const plan = restoreFrom(
        task.state.position(store),
        starts.get(key)!,
        end,
        Date.now() - task.state.committedAtMs,
        deleteRetentionMs,
      );
      if (plan.wipe) {
        options.logger.warn(
          { topic, partition, store },
          'local state does not fit its changelog any more, rebuilding it',
        );
        await task.state.wipe(store);
      }
      if (plan.offset < end)
        restoring.push({
          task,
          store,
          buffer: fetcher.add({ topic, partition }, plan.offset),
          from: plan.offset,
          end,
          writing: false,
        });
    }
    if (restoring.length > 0) await restoreAll(restoring, fetcher, options, metrics, listener, riding);
    for (const task of tasks) task.state.restored();
  } finally {
    await fetcher.close();
  }
}

async function restoreAll(
  restoring: readonly Restoring[],
  fetcher: Fetcher,
  options: ResolvedOptions,
  metrics: Metrics,
  listener: RestoreListener | undefined,
  riding: RideOutOptions,
): Promise<void> {
  await rideOut(() => fetcher.start(), riding);
  let open = restoring;
  let nextLog = Date.now() + LOG_EVERY_MS;
  const writes = new Set<Promise<void>>();
  try {
    while (open.length > 0) {
      riding.alive();
      // The databases write in threads of their own, side by side, while more is prepared here.
      for (const item of open) {
        if (!item.writing && item.buffer.bufferedBytes > 0) startWrite(item, writes, metrics, listener);
      }
      fetcher.wake();
      await Promise.race(writes.size > 0 ? writes : [fetcher.waitForData(POLL_MS)]);
      open = open.filter((item) => item.writing || item.buffer.position < item.end);
      if (Date.now() > nextLog) {
        nextLog = Date.now() + LOG_EVERY_MS;
        const remaining = open.reduce((sum, item) => sum + Math.max(0, item.end - item.buffer.position), 0);
        options.logger.info({ partitions: open.length, remaining }, 'restoring state');
      }
    }
  } finally {
    await Promise.allSettled(writes);
  }
}

function startWrite(
  item: Restoring,
  writes: Set<Promise<void>>,
  metrics: Metrics,
  listener: RestoreListener | undefined,
): void {
  const { task, store, buffer, from, end } = item;
  const batch = task.state.restoring(store);
  metrics.restored += takeBatch(item, batch);
  item.writing = true;
  const write = task.state.restore(store, batch, buffer.position).finally(() => {
    item.writing = false;
    writes.delete(write);
  });
  writes.add(write);
  listener?.onProgress(buffer.topic, buffer.partition, buffer.position - from, Math.max(0, end - buffer.position));
}

/** Moves on by at most BATCH_RECORDS; returns how many there were. */
function takeBatch({ task, store, buffer, end }: Restoring, batch: BackendBatch): number {
  const live = task.state.stores.get(store)!;
  let records = 0;
  while (records < BATCH_RECORDS && buffer.position < end) {
    const cursor = buffer.next();
    if (cursor === undefined) break;
    records++;
    // Nothing of ours is written without a key.
    if (cursor.keyLength < 0) continue;
    const { buffer: bytes, view, keyStart, keyLength, valueStart, valueLength, timestamp } = cursor;
    nowReading(bytes, view);
    live.restore(batch, bytes, keyStart, keyLength, valueStart, valueLength, timestamp);
  }
  return records;
}

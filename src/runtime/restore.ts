/**
 * Brings stores up to date from their changelogs: from the position the local database carries to the end of the log,
 * in batches. Where the position cannot be trusted, the store is rebuilt from the beginning.
 */
import {
  describeTopicConfigs,
  Fetcher,
  KafkaCluster,
  listOffsets,
  type PartitionBuffer,
  partitionKey,
} from '../kafka/index.ts';
import type { BackendOp } from '../state/index.ts';
import type { Metrics } from './metrics.ts';
import type { ResolvedOptions } from './options.ts';
import { type RideOutOptions, rideOut } from './ride-out.ts';
import type { Task } from './task.ts';

const BATCH_RECORDS = 10_000;
const POLL_MS = 100;
const LOG_EVERY_MS = 5_000;

interface Restoring {
  readonly task: Task;
  readonly store: string;
  readonly buffer: PartitionBuffer;
  readonly from: number;
  readonly end: number;
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
        restoring.push({ task, store, buffer: fetcher.add({ topic, partition }, plan.offset), from: plan.offset, end });
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
  while (open.length > 0) {
    riding.alive();
    // The databases write in threads of their own, side by side, while the next batch is prepared here.
    const writes: Promise<void>[] = [];
    for (const item of open) {
      const ops = takeBatch(item);
      if (ops === undefined) continue;
      const { task, store, buffer, from, end } = item;
      writes.push(task.state.restore(store, ops, buffer.position));
      metrics.restored += ops.length;
      listener?.onProgress(buffer.topic, buffer.partition, buffer.position - from, Math.max(0, end - buffer.position));
    }
    fetcher.wake();
    await Promise.all(writes);
    open = open.filter((item) => item.buffer.position < item.end);
    if (Date.now() > nextLog) {
      nextLog = Date.now() + LOG_EVERY_MS;
      const remaining = open.reduce((sum, item) => sum + item.end - item.buffer.position, 0);
      options.logger.info({ partitions: open.length, remaining }, 'restoring state');
    }
    if (writes.length === 0) await fetcher.waitForData(POLL_MS);
  }
}

function takeBatch({ task, store, buffer, end }: Restoring): BackendOp[] | undefined {
  const live = task.state.stores.get(store)!;
  const before = buffer.position;
  const ops: BackendOp[] = [];
  while (ops.length < BATCH_RECORDS && buffer.position < end) {
    const cursor = buffer.next();
    if (cursor === undefined) break;
    if (cursor.keyLength < 0) continue;
    const { buffer: bytes, keyStart, keyLength, valueStart, valueLength, timestamp } = cursor;
    const op = live.toLocal(bytes, keyStart, keyLength, valueStart, valueLength, timestamp);
    if (op !== undefined) ops.push(op);
  }
  return buffer.position === before ? undefined : ops;
}

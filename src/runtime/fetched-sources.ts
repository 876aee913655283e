/** The queues of a stream thread's tasks: partitions that are fetched, from the committed position on. */
import {
  type Fetcher,
  type PartitionBuffer,
  type Producer,
  partitionKey,
  type TopicPartition,
} from '../kafka/index.ts';
import type { AnyStoreDescription } from '../state/index.ts';
import { deadLetterTopics, type Topology } from '../topology/index.ts';
import type { TopicNames } from './assignment/internal-topics.ts';
import type { StartPositions } from './assignment/start-positions.ts';
import { decodeCommitMetadata } from './commit/commit-metadata.ts';
import { loadExternalPositions } from './external-positions.ts';
import type { ResolvedOptions } from './options.ts';
import { type RetryOptions, retry } from './retry.ts';
import type { RecordQueue } from './task/record-queue.ts';
import type { Task } from './task/task.ts';
import type { OpenSources, TaskAssignment, TaskSources } from './task-manager.ts';

export interface FetchedSourcesOptions {
  readonly topology: Topology;
  readonly names: TopicNames;
  readonly options: ResolvedOptions;
  readonly fetcher: Fetcher;
  readonly producer: Producer;
  readonly startPositions: StartPositions;
  /** A position was resolved by 'latest': it is to be committed at once. */
  onLatest(): void;
}

export class FetchedSources implements TaskSources {
  readonly #settings: FetchedSourcesOptions;
  readonly #open = new Map<Task, { readonly buffer: PartitionBuffer; readonly queue: RecordQueue }[]>();

  constructor(settings: FetchedSourcesOptions) {
    this.#settings = settings;
  }

  async prepare(tasks: readonly TaskAssignment[], signal: AbortSignal): Promise<OpenSources> {
    const { options, producer, startPositions, onLatest } = this.#settings;
    const retrying = (what: string): RetryOptions => ({
      what,
      logger: options.logger,
      signal,
      timeoutMs: options.taskTimeoutMs,
    });
    await retry(() => producer.prepare(this.#written(tasks)), retrying('Looking at the topics to write'));
    const partitions = tasks.flatMap((task) => task.partitions);
    const found = await retry(() => startPositions.resolve(partitions), retrying('Looking up positions'));
    if (found.commitSoon) onLatest();
    const { positions } = found;
    const { applicationId, logger } = options;
    const external = await loadExternalPositions(tasks, this.#settings.topology, { applicationId, logger, signal });
    return (task, own) => {
      const operatorTimes: number[] = [];
      const remembered = new Map<string, number>();
      for (const at of own) {
        const position = positions.get(partitionKey(at));
        const times = decodeCommitMetadata(position?.metadata ?? null);
        const offset = external.get(partitionKey(at));
        if (offset !== undefined) remembered.set(partitionKey(at), offset);
        // The group's position says the epoch that its offset was read in.
        const epoch = offset === undefined || offset === position?.offset ? position?.leaderEpoch : undefined;
        const buffer = this.#settings.fetcher.add(at, offset ?? position?.offset, epoch);
        const queue = task.addSource(buffer);
        const known = this.#open.get(task);
        if (known === undefined) this.#open.set(task, [{ buffer, queue }]);
        else known.push({ buffer, queue });
        queue.partitionTimeMs = times.partitionTimeMs;
        task.streamTimeMs = Math.max(task.streamTimeMs, times.partitionTimeMs);
        times.operatorTimesMs.forEach((time, i) => {
          operatorTimes[i] = Math.max(operatorTimes[i] ?? -1, time);
        });
      }
      this.#settings.fetcher.wake();
      return { operatorTimes, remembered };
    };
  }

  close(task: Task): void {
    for (const { buffer } of this.#open.get(task) ?? []) this.#settings.fetcher.remove(buffer);
    this.#open.delete(task);
  }

  /** The log lost its records from `offset` on, and fetching goes on there: one that waits to be processed is none any more. */
  truncated({ topic, partition }: TopicPartition, offset: number): void {
    for (const [task, open] of this.#open) {
      for (const { buffer, queue } of open)
        if (buffer.topic === topic && buffer.partition === partition) task.truncate(queue, offset);
    }
  }

  /** Topics that the tasks write to, by their names on the cluster; those computed per record are learned as they come. */
  #written(tasks: readonly TaskAssignment[]): string[] {
    const { topology, names } = this.#settings;
    const subs = [...new Set(tasks.map(({ id }) => id.subTopology))].map((id) => topology.subTopologies[id]!);
    const topics = subs.flatMap(({ sinks, stores, nodes }) => [
      ...deadLetterTopics(nodes),
      ...sinks.flatMap(({ topic }) => (typeof topic === 'string' ? [names.topic(topic)] : [])),
      ...stores.flatMap((store: AnyStoreDescription) => names.changelog(store) ?? []),
    ]);
    return [...new Set(topics)];
  }
}

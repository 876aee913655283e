/**
 * Fetch v4 to v12. Waits until minBytes are there or maxWaitMs have passed; whole batches, at least one. Fetch sessions
 * (v7, KIP-227) are declined: session id 0 makes clients name all partitions each time. v12 is flexible and tells a reader
 * whose last record is not in the log where it diverges (KIP-595); v13 and its topic ids are left out. Only leaders answer.
 */
import { ErrorCode } from '../../../kafka/index.ts';
import { monotonicMs } from '../../../monotonic.ts';
import { defineApi, type RequestContext } from '../api.ts';
import type { PartitionLog, ReadResult } from '../log/partition-log.ts';
import type { ValueOf, WireType } from '../wire-types.ts';
import {
  array,
  bytes,
  int8,
  int16,
  int32,
  int64,
  nullableArray,
  since,
  string,
  struct,
  tagged,
} from '../wire-types.ts';
import { eachPartition } from './each-partition.ts';
import { ledPartition } from './led-partition.ts';

/** A record set of several buffers, written one behind the other without being copied. */
const recordSet: WireType<readonly Buffer[]> = {
  read: (r) => [bytes.read(r)],
  write(w, batches) {
    w.length(
      batches.reduce((sum, batch) => sum + batch.length, 0),
      true,
    );
    for (const batch of batches) w.large(batch);
  },
};

const request = struct({
  replicaId: int32,
  maxWaitMs: int32,
  minBytes: int32,
  maxBytes: int32,
  isolationLevel: int8,
  sessionId: since(7, int32, 0),
  sessionEpoch: since(7, int32, -1),
  topics: array(
    struct({
      name: string,
      partitions: array(
        struct({
          partition: int32,
          currentLeaderEpoch: since(9, int32, -1),
          fetchOffset: int64,
          lastFetchedEpoch: since(12, int32, -1),
          logStartOffset: since(5, int64, -1),
          maxBytes: int32,
        }),
      ),
    }),
  ),
  forgotten: since(7, array(struct({ name: string, partitions: array(int32) })), []),
  rackId: since(11, string, ''),
});

const response = struct({
  throttleTimeMs: int32,
  errorCode: since(7, int16, 0),
  sessionId: since(7, int32, 0),
  topics: array(
    struct({
      name: string,
      partitions: array(
        struct({
          partition: int32,
          errorCode: int16,
          highWatermark: int64,
          lastStableOffset: int64,
          logStartOffset: since(5, int64, -1),
          aborted: nullableArray(struct({ producerId: int64, firstOffset: int64 })),
          preferredReadReplica: since(11, int32, -1),
          records: recordSet,
          divergingEpoch: tagged(0, struct({ epoch: int32, endOffset: int64 })),
        }),
      ),
    }),
  ),
});

type Request = ValueOf<typeof request>;
type Response = ValueOf<typeof response>;
type Partition = Response['topics'][number]['partitions'][number];

const READ_COMMITTED = 1;
/** A timer cannot be set for longer. */
const MAX_WAIT_MS = 2 ** 31 - 1;
/** A request for one session's continuation: there is none. */
const FINAL_EPOCH = -1;

export const fetch = defineApi(
  request,
  response,
)({
  key: 1,
  name: 'Fetch',
  minVersion: 4,
  maxVersion: 12,
  flexibleFrom: 12,
  async handle(req, context) {
    if (req.sessionId !== 0 && req.sessionEpoch !== FINAL_EPOCH)
      return { ...this.fail(req, 0, context.version), errorCode: SESSION_NOT_FOUND, topics: [] };
    const deadline = monotonicMs() + Math.min(req.maxWaitMs, MAX_WAIT_MS);
    for (;;) {
      const { answer, sizeBytes, hasError } = read(req, context);
      const left = deadline - monotonicMs();
      if (sizeBytes >= req.minBytes || hasError || left <= 0 || !context.connection.isOpen) return answer;
      await changeOf(req, context, left);
    }
  },
  fail: ({ topics }, errorCode) => ({
    throttleTimeMs: 0,
    errorCode,
    sessionId: 0,
    topics: eachPartition(topics, ({ partition }) => empty(partition, errorCode)),
  }),
});

const SESSION_NOT_FOUND = 70;

function read(req: Request, context: RequestContext) {
  let left = req.maxBytes;
  let sizeBytes = 0;
  let hasError = false;
  const readCommitted = req.isolationLevel === READ_COMMITTED;
  const topics = eachPartition(req.topics, (wanted, name): Partition => {
    const { partition, fetchOffset, maxBytes } = wanted;
    const log = ledPartition(context, name, partition, wanted.currentLeaderEpoch);
    const fault = typeof log === 'number' ? log : positionFault(log, wanted);
    if (typeof log === 'number' || fault !== ErrorCode.NONE) {
      hasError = true;
      return empty(partition, fault);
    }
    const { lastStableOffset, highWatermark, startOffset } = log;
    const divergingEpoch = divergence(log, wanted);
    if (divergingEpoch !== null) hasError = true;
    const limit = readCommitted ? lastStableOffset : highWatermark;
    // The first partition with data gives a batch whatever its size, so that a large one is not in the way for ever.
    const fits = Math.min(maxBytes, Math.max(left, 0));
    const result =
      divergingEpoch === null ? log.read(fetchOffset, fits, limit, sizeBytes === 0, readCommitted) : NOTHING_READ;
    left -= result.sizeBytes;
    sizeBytes += result.sizeBytes;
    return {
      partition,
      errorCode: ErrorCode.NONE,
      highWatermark,
      lastStableOffset,
      logStartOffset: startOffset,
      aborted: readCommitted ? result.aborted : null,
      preferredReadReplica: -1,
      records: result.batches,
      divergingEpoch,
    };
  });
  const answer: Response = { throttleTimeMs: 0, errorCode: ErrorCode.NONE, sessionId: 0, topics };
  return { answer, sizeBytes, hasError };
}

const NOTHING_READ: ReadResult = { batches: [], sizeBytes: 0, aborted: [] };

type Wanted = Request['topics'][number]['partitions'][number];

/** Is the position in the log? What is not replicated yet counts, though it is not handed out. */
function positionFault(log: PartitionLog, { fetchOffset, lastFetchedEpoch }: Wanted): number {
  // With the epoch of the record before it, a position behind the end has diverged: that is said instead.
  const isBehind = fetchOffset > log.endOffset && lastFetchedEpoch < 0;
  const isUnknown = lastFetchedEpoch >= 0 && log.endOfEpoch(lastFetchedEpoch).epoch < 0;
  return isBehind || isUnknown || fetchOffset < log.startOffset ? ErrorCode.OFFSET_OUT_OF_RANGE : ErrorCode.NONE;
}

/** Where the log ends for the epoch that the reader has its last record from, if that is before its position. */
function divergence(log: PartitionLog, { fetchOffset, lastFetchedEpoch }: Wanted) {
  if (lastFetchedEpoch < 0) return null;
  const end = log.endOfEpoch(lastFetchedEpoch);
  return end.epoch < lastFetchedEpoch || end.endOffset < fetchOffset ? end : null;
}

/** Resolves when one of the partitions changes, or after `ms`. */
function changeOf(req: Request, { broker, connection }: RequestContext, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const stops: (() => void)[] = [];
    const done = (): void => {
      clearTimeout(timer);
      for (const stop of stops) stop();
      resolve();
    };
    const timer = setTimeout(done, ms);
    stops.push(connection.onClose(done));
    for (const { name, partitions } of req.topics)
      for (const { partition } of partitions) {
        const log = broker.topics.log(name, partition);
        if (log !== undefined) stops.push(log.onChange(done));
      }
  });
}

function empty(partition: number, errorCode: number): Partition {
  return {
    partition,
    errorCode,
    highWatermark: -1,
    lastStableOffset: -1,
    logStartOffset: -1,
    aborted: null,
    preferredReadReplica: -1,
    records: [],
    divergingEpoch: null,
  };
}

/**
 * Producer ids and transactions: epochs and fencing, the two phases of an end, time-outs. Mirrors `TransactionCoordinator`.
 * An end is stored before its markers are written; after a crash it is finished at start.
 */
import { ErrorCode } from '../../kafka/index.ts';
import type { GroupCoordinator, OffsetCommit } from './groups/group-coordinator.ts';
import type { StateStore } from './state-store.ts';
import type { Topics } from './topics.ts';

type TransactionState = 'Empty' | 'Ongoing' | 'PrepareCommit' | 'PrepareAbort' | 'CompleteCommit' | 'CompleteAbort';

interface Transaction {
  producerId: number;
  producerEpoch: number;
  /** The epoch before the last bump that its producer asked for by name (KIP-360); undefined: that was another kind. */
  lastProducerEpoch?: number | undefined;
  timeoutMs: number;
  state: TransactionState;
  /** `topic/partition` */
  partitions: string[];
  /** Groups with the positions to commit. */
  groups: { groupId: string; offsets: OffsetCommit[] }[];
  /** When it began, ms since the epoch. */
  startedMs: number;
}

export interface ProducerIdentity {
  readonly errorCode: number;
  readonly producerId: number;
  readonly producerEpoch: number;
}

const TRANSACTION = 'transaction/';
const NEXT_PRODUCER_ID = 'next-producer-id';
/** Ids are taken from the store in blocks, so that a crash leaves a gap and never a repetition. */
const ID_BLOCK = 1000;
/** transaction.max.timeout.ms */
const MAX_TIMEOUT_MS = 900_000;
const MAX_EPOCH = 32_766;

export class TransactionCoordinator {
  readonly #store: StateStore;
  readonly #topics: Topics;
  readonly #groups: GroupCoordinator;
  readonly #nowMs: () => number;
  readonly #isUp: (node: number) => boolean;
  readonly #transactions = new Map<string, Transaction>();
  #nextProducerId = 0;
  #reservedUntil = 0;

  /** @param isUp whether a node is there to write a marker where it leads */
  constructor(
    store: StateStore,
    topics: Topics,
    groups: GroupCoordinator,
    { nowMs, isUp }: { readonly nowMs: () => number; readonly isUp: (node: number) => boolean },
  ) {
    this.#store = store;
    this.#topics = topics;
    this.#groups = groups;
    this.#nowMs = nowMs;
    this.#isUp = isUp;
    this.#nextProducerId = store.get<number>(NEXT_PRODUCER_ID) ?? 0;
    this.#reservedUntil = this.#nextProducerId;
    for (const [id, stored] of store.entries<Transaction>(TRANSACTION)) this.#restore(id, stored);
  }

  /** An id for an idempotent producer, or a transactional one's next epoch: what it left open is aborted. */
  initProducerId(
    transactionalId: string | null,
    timeoutMs: number,
    producerId: number,
    producerEpoch: number,
  ): ProducerIdentity {
    if (transactionalId === null)
      return { errorCode: ErrorCode.NONE, producerId: this.#newProducerId(), producerEpoch: 0 };
    if (transactionalId === '') return identityError(ErrorCode.INVALID_REQUEST);
    if (timeoutMs <= 0 || timeoutMs > MAX_TIMEOUT_MS) return identityError(ErrorCode.INVALID_TRANSACTION_TIMEOUT);
    const known = this.#transactions.get(transactionalId);
    if (known === undefined) return this.#begin(transactionalId, timeoutMs);
    // KIP-360: a producer that says who it is must be the one that is known, or has not heard that it was answered.
    const isNamed = producerId >= 0;
    const isRepetition = producerId === known.producerId && producerEpoch === known.lastProducerEpoch;
    if (isNamed && isRepetition && known.state === 'Empty')
      return { errorCode: ErrorCode.NONE, producerId, producerEpoch: known.producerEpoch };
    if (isNamed && (producerId !== known.producerId || producerEpoch !== known.producerEpoch))
      return identityError(ErrorCode.PRODUCER_FENCED);
    if (known.state === 'Ongoing') {
      this.#bumpEpoch(known);
      this.#end(transactionalId, known, false);
    }
    if (isEnding(known)) return identityError(ErrorCode.CONCURRENT_TRANSACTIONS);
    known.timeoutMs = timeoutMs;
    this.#bumpEpoch(known);
    if (isNamed && known.producerId === producerId) known.lastProducerEpoch = producerEpoch;
    known.state = 'Empty';
    this.#save(transactionalId, known);
    return { errorCode: ErrorCode.NONE, producerId: known.producerId, producerEpoch: known.producerEpoch };
  }

  addPartitions(
    transactionalId: string,
    producerId: number,
    producerEpoch: number,
    partitions: readonly { readonly topic: string; readonly partition: number }[],
  ): number {
    const [transaction, fault] = this.#owned(transactionalId, producerId, producerEpoch);
    if (transaction === undefined) return fault;
    if (isEnding(transaction)) return ErrorCode.CONCURRENT_TRANSACTIONS;
    this.#ongoing(transaction);
    for (const { topic, partition } of partitions) {
      const id = `${topic}/${partition}`;
      if (!transaction.partitions.includes(id)) transaction.partitions.push(id);
    }
    this.#save(transactionalId, transaction);
    return ErrorCode.NONE;
  }

  addGroup(transactionalId: string, producerId: number, producerEpoch: number, groupId: string): number {
    const [transaction, fault] = this.#owned(transactionalId, producerId, producerEpoch);
    if (transaction === undefined) return fault;
    if (isEnding(transaction)) return ErrorCode.CONCURRENT_TRANSACTIONS;
    this.#ongoing(transaction);
    if (!transaction.groups.some((group) => group.groupId === groupId))
      transaction.groups.push({ groupId, offsets: [] });
    this.#save(transactionalId, transaction);
    return ErrorCode.NONE;
  }

  /** Positions that the transaction commits where it commits. */
  commitOffsets(
    transactionalId: string,
    producerId: number,
    producerEpoch: number,
    groupId: string,
    commits: readonly OffsetCommit[],
  ): number {
    const [transaction, fault] = this.#owned(transactionalId, producerId, producerEpoch);
    if (transaction === undefined) return fault;
    const group = transaction.groups.find((one) => one.groupId === groupId);
    if (transaction.state !== 'Ongoing' || group === undefined) return ErrorCode.INVALID_TXN_STATE;
    group.offsets.push(...commits);
    this.#groups.prepareCommit(groupId, producerId, commits);
    this.#save(transactionalId, transaction);
    return ErrorCode.NONE;
  }

  end(transactionalId: string, producerId: number, producerEpoch: number, committed: boolean): number {
    const [transaction, fault] = this.#owned(transactionalId, producerId, producerEpoch);
    if (transaction === undefined) return fault;
    switch (transaction.state) {
      case 'Ongoing':
        this.#end(transactionalId, transaction, committed);
        return ErrorCode.NONE;
      // A repetition of what was done is answered as the first was.
      case 'CompleteCommit':
        return committed ? ErrorCode.NONE : ErrorCode.INVALID_TXN_STATE;
      case 'CompleteAbort':
        return committed ? ErrorCode.INVALID_TXN_STATE : ErrorCode.NONE;
      case 'PrepareCommit':
        return committed ? ErrorCode.CONCURRENT_TRANSACTIONS : ErrorCode.INVALID_TXN_STATE;
      case 'PrepareAbort':
        return committed ? ErrorCode.INVALID_TXN_STATE : ErrorCode.CONCURRENT_TRANSACTIONS;
      default:
        return ErrorCode.INVALID_TXN_STATE;
    }
  }

  /**
   * May this producer write transactional records to the partition? The transaction must know of it (KIP-890). The older
   * of two producers is told so first, whatever the newer one has open: INVALID_PRODUCER_EPOCH, in every version.
   */
  writeFault(
    transactionalId: string,
    { producerId, producerEpoch }: { readonly producerId: number; readonly producerEpoch: number },
    topic: string,
    partition: number,
  ): number {
    const transaction = this.#transactions.get(transactionalId);
    if (transaction === undefined || transaction.producerId !== producerId)
      return ErrorCode.INVALID_PRODUCER_ID_MAPPING;
    if (transaction.producerEpoch !== producerEpoch) return ErrorCode.INVALID_PRODUCER_EPOCH;
    // Asked for again once the markers are written.
    if (isEnding(transaction)) return ErrorCode.NOT_ENOUGH_REPLICAS;
    const isOpen = transaction.state === 'Ongoing' && transaction.partitions.includes(`${topic}/${partition}`);
    return isOpen ? ErrorCode.NONE : ErrorCode.INVALID_TXN_STATE;
  }

  /**
   * Aborts what has been open for longer than it may, and fences its producer.
   * @param isCoordinated whether there is a node that would see to it
   */
  expire(isCoordinated: (transactionalId: string) => boolean): void {
    for (const [id, transaction] of this.#transactions) {
      if (transaction.state !== 'Ongoing' || this.#nowMs() - transaction.startedMs < transaction.timeoutMs) continue;
      if (!isCoordinated(id)) continue;
      this.#bumpEpoch(transaction);
      this.#end(id, transaction, false);
    }
  }

  /** Partitions have leaders again, or are gone: ends whose markers waited for one go on. */
  resume(): void {
    for (const [id, transaction] of this.#transactions) if (isEnding(transaction)) this.#complete(id, transaction);
  }

  #restore(id: string, stored: Transaction): void {
    this.#transactions.set(id, stored);
    for (const { groupId, offsets } of stored.groups)
      if (offsets.length > 0) this.#groups.prepareCommit(groupId, stored.producerId, offsets);
    if (isEnding(stored)) this.#complete(id, stored);
  }

  #begin(transactionalId: string, timeoutMs: number): ProducerIdentity {
    const transaction: Transaction = {
      producerId: this.#newProducerId(),
      producerEpoch: 0,
      timeoutMs,
      state: 'Empty',
      partitions: [],
      groups: [],
      startedMs: 0,
    };
    this.#transactions.set(transactionalId, transaction);
    this.#save(transactionalId, transaction);
    return { errorCode: ErrorCode.NONE, producerId: transaction.producerId, producerEpoch: 0 };
  }

  #owned(
    transactionalId: string,
    producerId: number,
    producerEpoch: number,
  ): readonly [Transaction, number] | readonly [undefined, number] {
    if (transactionalId === '') return [undefined, ErrorCode.INVALID_REQUEST];
    const transaction = this.#transactions.get(transactionalId);
    if (transaction === undefined || transaction.producerId !== producerId)
      return [undefined, ErrorCode.INVALID_PRODUCER_ID_MAPPING];
    if (transaction.producerEpoch !== producerEpoch) return [undefined, ErrorCode.PRODUCER_FENCED];
    return [transaction, ErrorCode.NONE];
  }

  #ongoing(transaction: Transaction): void {
    if (transaction.state === 'Ongoing') return;
    transaction.state = 'Ongoing';
    transaction.partitions = [];
    transaction.groups = [];
    transaction.startedMs = this.#nowMs();
  }

  #end(transactionalId: string, transaction: Transaction, committed: boolean): void {
    transaction.state = committed ? 'PrepareCommit' : 'PrepareAbort';
    this.#save(transactionalId, transaction);
    this.#complete(transactionalId, transaction);
  }

  /**
   * Writes a marker to each partition of the transaction, written to or not; one that is gone needs none. Where a partition
   * has no leader, its marker and the end wait for one.
   */
  #complete(transactionalId: string, transaction: Transaction): void {
    const { producerId, producerEpoch, groups } = transaction;
    const committed = transaction.state === 'PrepareCommit';
    for (const { groupId } of groups) this.#groups.completeCommit(groupId, producerId, committed);
    transaction.groups = [];
    transaction.partitions = transaction.partitions.filter((id) => {
      const slash = id.lastIndexOf('/');
      const log = this.#topics.log(id.slice(0, slash), Number(id.slice(slash + 1)));
      if (log === undefined) return false;
      if (!this.#isUp(log.leadership.leader)) return true;
      log.appendMarker(producerId, producerEpoch, committed);
      return false;
    });
    if (transaction.partitions.length === 0) transaction.state = committed ? 'CompleteCommit' : 'CompleteAbort';
    this.#save(transactionalId, transaction);
  }

  #bumpEpoch(transaction: Transaction): void {
    transaction.lastProducerEpoch = undefined;
    if (transaction.producerEpoch < MAX_EPOCH) {
      transaction.producerEpoch++;
      return;
    }
    transaction.producerId = this.#newProducerId();
    transaction.producerEpoch = 0;
  }

  #newProducerId(): number {
    if (this.#nextProducerId === this.#reservedUntil) {
      this.#reservedUntil += ID_BLOCK;
      this.#store.set(NEXT_PRODUCER_ID, this.#reservedUntil);
    }
    return this.#nextProducerId++;
  }

  #save(transactionalId: string, transaction: Transaction): void {
    this.#store.set(TRANSACTION + transactionalId, structuredClone(transaction));
  }
}

/** Its end is decided, its markers are not all written. */
function isEnding({ state }: Transaction): boolean {
  return state === 'PrepareCommit' || state === 'PrepareAbort';
}

function identityError(errorCode: number): ProducerIdentity {
  return { errorCode, producerId: -1, producerEpoch: -1 };
}

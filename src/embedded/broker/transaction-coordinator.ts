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
  readonly #transactions = new Map<string, Transaction>();
  #nextProducerId = 0;
  #reservedUntil = 0;

  constructor(store: StateStore, topics: Topics, groups: GroupCoordinator, nowMs: () => number) {
    this.#store = store;
    this.#topics = topics;
    this.#groups = groups;
    this.#nowMs = nowMs;
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
    // KIP-360: a producer that says who it is must be the one that is known.
    if (producerId >= 0 && (producerId !== known.producerId || producerEpoch !== known.producerEpoch))
      return identityError(ErrorCode.PRODUCER_FENCED);
    if (known.state === 'Ongoing') {
      this.#bumpEpoch(known);
      this.#end(transactionalId, known, false);
    }
    known.timeoutMs = timeoutMs;
    this.#bumpEpoch(known);
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
    const isOpen = transaction.state === 'Ongoing' && transaction.partitions.includes(`${topic}/${partition}`);
    return isOpen ? ErrorCode.NONE : ErrorCode.INVALID_TXN_STATE;
  }

  /** Aborts what has been open for longer than it may, and fences its producer. */
  expire(): void {
    for (const [id, transaction] of this.#transactions) {
      if (transaction.state !== 'Ongoing' || this.#nowMs() - transaction.startedMs < transaction.timeoutMs) continue;
      this.#bumpEpoch(transaction);
      this.#end(id, transaction, false);
    }
  }

  #restore(id: string, stored: Transaction): void {
    this.#transactions.set(id, stored);
    for (const { groupId, offsets } of stored.groups)
      if (offsets.length > 0) this.#groups.prepareCommit(groupId, stored.producerId, offsets);
    if (stored.state === 'PrepareCommit' || stored.state === 'PrepareAbort')
      this.#end(id, stored, stored.state === 'PrepareCommit');
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
    const { producerId, producerEpoch } = transaction;
    transaction.state = committed ? 'PrepareCommit' : 'PrepareAbort';
    this.#save(transactionalId, transaction);
    for (const id of transaction.partitions) {
      const slash = id.lastIndexOf('/');
      const log = this.#topics.log(id.slice(0, slash), Number(id.slice(slash + 1)));
      // Nothing was written there, or its marker came before a crash.
      if (log?.producers.hasOpenTransaction(producerId)) log.appendMarker(producerId, producerEpoch, committed);
    }
    for (const { groupId } of transaction.groups) this.#groups.completeCommit(groupId, producerId, committed);
    transaction.state = committed ? 'CompleteCommit' : 'CompleteAbort';
    transaction.partitions = [];
    transaction.groups = [];
    this.#save(transactionalId, transaction);
  }

  #bumpEpoch(transaction: Transaction): void {
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

function identityError(errorCode: number): ProducerIdentity {
  return { errorCode, producerId: -1, producerEpoch: -1 };
}

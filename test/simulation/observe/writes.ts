/**
 * Which session the batches on the changelogs are from: a batch belongs to the session in which it was first sent, however
 * late it is appended, and however often it is sent again.
 */
import type { Owner } from '../kernel/owner.ts';
import { matches, type StorePlan } from '../topologies/plan.ts';
import type { Append } from './logs.ts';
import type { Session, Sessions } from './sessions.ts';
import type { Message } from './wire.ts';

const PRODUCE = 0;
const INIT_PRODUCER_ID = 22;

export interface SentBatch {
  readonly owner: Owner;
  /** Undefined: the process did not have the task. */
  readonly session: Session | undefined;
  readonly firstSentUs: number;
}

interface ProduceRequest {
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: readonly { readonly partition: number; readonly records: Buffer | null }[];
  }[];
}

export class Writes {
  /** Told of each time a batch of a changelog goes out, the first time included. */
  onSent: (batch: SentBatch, store: StorePlan, partition: number) => void = () => {};
  readonly #stores: readonly StorePlan[];
  readonly #sessions: Sessions;
  readonly #now: () => number;
  readonly #sources: () => readonly string[];
  readonly #batches = new Map<string, SentBatch>();
  readonly #producers = new Map<number, Owner>();

  /** @param sources names of the topics that are there */
  constructor(stores: readonly StorePlan[], sessions: Sessions, now: () => number, sources: () => readonly string[]) {
    this.#stores = stores;
    this.#sessions = sessions;
    this.#now = now;
    this.#sources = sources;
  }

  /** What is known of an appended batch; undefined: it was not sent by a member. */
  batchOf({ topic, partition, producerId, producerEpoch, baseSequence }: Append): SentBatch | undefined {
    return this.#batches.get(batchName(topic, partition, producerId, producerEpoch, baseSequence));
  }

  /** The process that has the producer id; undefined: not a member's. */
  ownerOf(producerId: number): Owner | undefined {
    return this.#producers.get(producerId);
  }

  /** To be given every message. */
  heard(message: Message): void {
    const { api, kind, moment, client } = message;
    if (api.key === INIT_PRODUCER_ID && kind === 'answer' && moment === 'arrived') {
      const { errorCode, producerId } = message.body() as { errorCode: number; producerId: number };
      if (errorCode === 0) this.#producers.set(producerId, client);
    }
    if (api.key === PRODUCE && kind === 'request' && moment === 'sent')
      this.#produced(client, message.body() as ProduceRequest);
  }

  #produced(owner: Owner, { topics }: ProduceRequest): void {
    for (const { name, partitions } of topics) {
      const store = this.#stores.find(({ changelog }) => changelog === name);
      if (store === undefined) continue;
      for (const { partition, records } of partitions) {
        if (records === null) continue;
        const producerId = Number(records.readBigInt64BE(43));
        const batch = batchName(name, partition, producerId, records.readInt16BE(51), records.readInt32BE(53));
        let sent = this.#batches.get(batch);
        if (sent === undefined) {
          sent = { owner, session: this.#sessionOf(owner, store, partition), firstSentUs: this.#now() };
          this.#batches.set(batch, sent);
        }
        this.onSent(sent, store, partition);
      }
    }
  }

  #sessionOf(owner: Owner, { from }: StorePlan, partition: number): Session | undefined {
    for (const topic of this.#sources()) {
      if (!matches(from, topic)) continue;
      const session = this.#sessions.of(owner, `${topic}/${partition}`);
      if (session !== undefined) return session;
    }
    return undefined;
  }
}

function batchName(topic: string, partition: number, producerId: number, epoch: number, sequence: number): string {
  return `${topic}/${partition} ${producerId}/${epoch}/${sequence}`;
}

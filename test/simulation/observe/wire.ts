/**
 * Listens in on connections to brokers: cuts what passes into requests and answers, and tells who is interested. Bodies
 * are decoded where somebody looks at them, by the message descriptions of the embedded broker.
 */
import type { AnyApi } from '../../../src/embedded/broker/api.ts';
import { findApi } from '../../../src/embedded/broker/apis/index.ts';
import { FrameReader, int16, int32, nullableString } from '../../../src/embedded/broker/wire-types.ts';
import type { Owner } from '../kernel/owner.ts';
import type { Connection, End, Tap } from '../network/connection.ts';

const SIZE_BYTES = 4;
const API_VERSIONS = 18;

/** `sent`: the sender's system has it; `arrived`: the receiving process has read it. */
export type Moment = 'sent' | 'arrived';

export interface Message {
  readonly moment: Moment;
  readonly kind: 'request' | 'answer';
  readonly api: AnyApi;
  readonly connection: Connection;
  /** The process that asks, and is answered. */
  readonly client: Owner;
  /** Decoded; of answers, by the version that was asked for. */
  body(): unknown;
  /** Of an answer: what was asked, decoded. Of a request: itself. */
  request(): unknown;
}

interface Asked {
  readonly api: AnyApi;
  readonly version: number;
  request(): unknown;
}

interface Side {
  chunks: Buffer[];
  bytes: number;
}

interface Conversation {
  /** By correlation id; one connection answers in order, but a lost answer leaves its entry. */
  readonly asked: Map<number, Asked>;
  readonly sides: Map<string, Side>;
}

export class Wire implements Tap {
  /** Told of every message between a client and a broker. */
  readonly listeners: ((message: Message) => void)[] = [];
  /** Told of all bytes. */
  onBytes: (owner: Owner, bytes: Buffer) => void = () => {};
  readonly #isBroker: (connection: Connection) => boolean;
  readonly #conversations = new WeakMap<Connection, Conversation>();

  constructor(isBroker: (connection: Connection) => boolean) {
    this.#isBroker = isBroker;
  }

  sent(from: End, bytes: Buffer): void {
    this.onBytes(from.owner, bytes);
    this.#passed('sent', from, from, bytes);
  }

  delivered(to: End, bytes: Buffer): void {
    this.onBytes(to.owner, bytes);
    this.#passed('arrived', to.peer, to, bytes);
  }

  #passed(moment: Moment, from: End, at: End, bytes: Buffer): void {
    const { connection } = at;
    if (!this.#isBroker(connection)) return;
    let conversation = this.#conversations.get(connection);
    if (conversation === undefined)
      this.#conversations.set(connection, (conversation = { asked: new Map(), sides: new Map() }));
    const isRequest = from === connection.client;
    const name = `${moment} ${isRequest}`;
    let side = conversation.sides.get(name);
    if (side === undefined) conversation.sides.set(name, (side = { chunks: [], bytes: 0 }));
    for (const frame of framesOf(side, bytes)) this.#frame(moment, isRequest, connection, conversation, frame);
  }

  #frame(moment: Moment, isRequest: boolean, connection: Connection, { asked }: Conversation, frame: Buffer): void {
    const client = connection.client.owner;
    let message: Message;
    if (isRequest) {
      const head = new FrameReader(frame, 0, 0, false);
      const api = findApi(int16.read(head));
      const version = int16.read(head);
      const correlationId = int32.read(head);
      nullableString.read(head);
      if (api === undefined) return;
      const body = (): unknown => decoded(api, version, frame, head.position, 'request');
      if (moment === 'sent') asked.set(correlationId, { api, version, request: body });
      message = { moment, kind: 'request', api, connection, client, body, request: body };
    } else {
      const correlationId = frame.readInt32BE(0);
      const found = asked.get(correlationId);
      if (found === undefined) return;
      if (moment === 'arrived') asked.delete(correlationId);
      const { api, version, request } = found;
      const body = (): unknown => decoded(api, version, frame, 4, 'response');
      message = { moment, kind: 'answer', api, connection, client, body, request };
    }
    for (const listener of this.listeners) listener(message);
  }
}

function decoded(api: AnyApi, version: number, frame: Buffer, position: number, part: 'request' | 'response'): unknown {
  const reader = new FrameReader(frame, position, version, version >= api.flexibleFrom);
  if (part === 'request' || api.key !== API_VERSIONS) reader.skipTags();
  return api[part].read(reader);
}

function framesOf(side: Side, bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  side.chunks.push(bytes);
  side.bytes += bytes.length;
  while (side.bytes >= SIZE_BYTES) {
    if (
      side.chunks.length > 1 &&
      (side.chunks[0]!.length < SIZE_BYTES || side.bytes >= SIZE_BYTES + side.chunks[0]!.readInt32BE(0))
    )
      side.chunks = [Buffer.concat(side.chunks)];
    const all = side.chunks[0]!;
    const end = SIZE_BYTES + all.readInt32BE(0);
    if (all.length < end) break;
    frames.push(all.subarray(SIZE_BYTES, end));
    side.chunks = all.length === end ? [] : [all.subarray(end)];
    side.bytes -= end;
  }
  return frames;
}

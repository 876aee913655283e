/** One request of Kafka's protocol: its key and version, how its body is written and its answer read. */
import type { ByteWriter } from '../../bytes.ts';
import type { WireReader } from '../wire.ts';

export interface ApiRequest<Response> {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly apiName: string;
  /**
   * ms after which the connection is given up. Where it is left out: what the broker may hold the answer back (`holdMs`)
   * and the client's own time-out of small requests (`DEFAULT_REQUEST_MS`, or `requestTimeout` of the kafkajs options).
   */
  readonly timeoutMs?: number;
  /** ms that the broker may hold the answer back because it was asked to. Default 0. */
  readonly holdMs?: number;
  /** Header and body have tagged fields (KIP-482). Default false. */
  readonly flexible?: boolean;
  /** The body as it goes to the socket, in place of `write`: for requests that carry batches. */
  parts?(): Buffer[];
  write(out: ByteWriter): void;
  read(reader: WireReader): Response;
}

/** Every answer from version 1 on starts with, or carries, the time the client is asked to pause (KIP-219). */
export interface Throttled {
  readonly throttleTimeMs: number;
}

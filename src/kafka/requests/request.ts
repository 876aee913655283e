/** One request of Kafka's protocol: its key and version, how its body is written and its answer read. */
import type { ByteWriter } from '../../bytes.ts';
import type { WireReader } from '../wire.ts';

export interface ApiRequest<Response> {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly apiName: string;
  /** ms; the client's own where it is left out. For answers that the broker holds back, such as JoinGroup's. */
  readonly timeoutMs?: number;
  /** The body as it goes to the socket, in place of `write`: for requests that carry batches. */
  parts?(): Buffer[];
  write(out: ByteWriter): void;
  read(reader: WireReader): Response;
}

/** Every answer from version 1 on starts with, or carries, the time the client is asked to pause (KIP-219). */
export interface Throttled {
  readonly throttleTimeMs: number;
}

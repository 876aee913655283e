/**
 * Sockets that read each response into a buffer of its own size, straight from the system: kafkajs' own collects the
 * chunks of a response and copies them together, which for fetched megabytes is a copy and twice the memory.
 *
 *     size int32 | correlation id int32 | …            one response; `data` is emitted once for each, size included
 */
import { connect, isIP, type Socket } from 'node:net';
import { TLSSocket, connect as tlsConnect } from 'node:tls';
import type { ISocketFactory } from 'kafkajs';
import { KafkaConnectionError } from './errors.ts';

const SIZE_BYTES = 4;
/** Where reading starts while the next response's size is not known. */
const SCRATCH_BYTES = 64 * 1024;
/** Kafka's own bound of a response: an int32. What claims more than this is no Kafka broker. */
const MAX_RESPONSE_BYTES = 512 * 1024 * 1024;
/**
 * Silence after which the system asks the other end, ten times a second apart (libuv): a peer that is gone is found in
 * twenty seconds, within a session, though a parked JoinGroup has minutes. kafkajs has 60 s.
 */
const KEEP_ALIVE_MS = 10_000;

export const responseSocketFactory: ISocketFactory = ({ host, port, ssl, onConnect }) => {
  let socket: Socket | undefined;
  const framer = new ResponseFramer(
    (response) => void socket!.emit('data', response),
    (bytes) =>
      void socket!.destroy(new KafkaConnectionError(`a response of ${bytes} bytes: is this a Kafka listener?`)),
  );
  const onread = {
    buffer: () => framer.target(),
    callback: (bytes: number) => {
      framer.received(bytes);
      return true;
    },
  };
  // kafkajs' default factory, but for onread and how soon a silent peer is asked.
  socket = ssl
    ? tlsConnect({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...ssl, onread } as object, onConnect)
    : connect({ host, port, onread }, onConnect);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  return socket;
};

/**
 * Destroys a socket such that nothing it still holds is delivered: `destroy` lets the system send what it has taken,
 * megabytes of it, however late the other end can be reached again. A socket that is not the system's is destroyed.
 */
export function resetSocket(socket: Socket): void {
  // TLS has its TCP inside, where no public name of Node's reaches; without it (another version) `destroy` has to do.
  const tcp = (socket as { _handle?: { _parent?: { reset?(callback: () => void): number } } })._handle?._parent;
  try {
    if (!(socket instanceof TLSSocket) && typeof socket.resetAndDestroy === 'function') {
      socket.resetAndDestroy();
      return;
    }
    tcp?.reset?.(() => undefined);
  } catch {
    // Not a socket of TCP's.
  }
  socket.destroy();
}

/** Says where the next bytes are to be put, and cuts what came into responses. */
export class ResponseFramer {
  readonly #onResponse: (response: Buffer) => void;
  readonly #onTooLarge: (bytes: number) => void;
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #scratchFilled = 0;
  /** A response of known size that is still coming in. */
  #response: Buffer | undefined;
  #filled = 0;

  constructor(onResponse: (response: Buffer) => void, onTooLarge: (bytes: number) => void) {
    this.#onResponse = onResponse;
    this.#onTooLarge = onTooLarge;
  }

  target(): Uint8Array {
    return this.#response === undefined
      ? this.#scratch.subarray(this.#scratchFilled)
      : this.#response.subarray(this.#filled);
  }

  /** `bytes` were put at the start of the last target. */
  received(bytes: number): void {
    const response = this.#response;
    if (response === undefined) {
      this.#scratchFilled += bytes;
      this.#cut();
      return;
    }
    this.#filled += bytes;
    if (this.#filled < response.length) return;
    this.#response = undefined;
    this.#onResponse(response);
  }

  /** The scratch buffer is used again: what stays is copied. */
  #cut(): void {
    const scratch = this.#scratch;
    const end = this.#scratchFilled;
    let position = 0;
    this.#scratchFilled = 0;
    while (end - position >= SIZE_BYTES) {
      const size = scratch.readInt32BE(position);
      if (size < 0 || size > MAX_RESPONSE_BYTES) {
        this.#onTooLarge(size);
        return;
      }
      const length = SIZE_BYTES + size;
      const response = Buffer.allocUnsafeSlow(length);
      const here = Math.min(length, end - position);
      scratch.copy(response, 0, position, position + here);
      position += here;
      if (here < length) {
        this.#response = response;
        this.#filled = here;
        return;
      }
      this.#onResponse(response);
    }
    scratch.copyWithin(0, position, end);
    this.#scratchFilled = end - position;
  }
}

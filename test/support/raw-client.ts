/**
 * A client that speaks single requests of any version to any broker, by the message descriptions of the embedded one: what
 * they get wrong, Apache Kafka does not understand.
 */
import { connect, type Socket } from 'node:net';
import type { AnyApi } from '../../src/embedded/broker/api.ts';
import { findApi, supportedApis } from '../../src/embedded/broker/apis/index.ts';
import { FrameReader, FrameWriter, int16, int32, nullableString } from '../../src/embedded/broker/wire-types.ts';
import { ResponseFramer } from '../../src/kafka/response-socket.ts';

const API_VERSIONS = 18;

export function apiNamed(name: string): AnyApi {
  const found = supportedApis()
    .map(({ key }) => findApi(key)!)
    .find((api) => api.name === name);
  if (found === undefined) throw new Error(`no API ${name}`);
  return found;
}

/** The bytes of a request, size included. */
export function frameOf(api: AnyApi, version: number, request: unknown, correlationId = 1, clientId = 'raw'): Buffer {
  const flexible = version >= api.flexibleFrom;
  const writer = new FrameWriter(version, flexible);
  // The header's client id is never compact.
  const head = new FrameWriter(0, false);
  int16.write(head, api.key);
  int16.write(head, version);
  int32.write(head, correlationId);
  nullableString.write(head, clientId);
  writer.tags();
  api.request.write(writer, request);
  const body = Buffer.concat([...head.parts(), ...writer.parts()]);
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length);
  return Buffer.concat([size, body]);
}

export class RawClient {
  readonly #socket: Socket;
  #waiting: { readonly resolve: (response: Buffer) => void; readonly reject: (error: Error) => void }[] = [];
  #correlationId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const framer = new ResponseFramer(
      (response) => this.#waiting.shift()?.resolve(response),
      () => socket.destroy(),
    );
    socket.on('data', (chunk) => {
      for (let at = 0; at < chunk.length; ) {
        const target = framer.target();
        const bytes = Math.min(target.length, chunk.length - at);
        target.set(chunk.subarray(at, at + bytes));
        at += bytes;
        framer.received(bytes);
      }
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('connection closed'));
    });
  }

  static connect(address: string): Promise<RawClient> {
    const [host, port] = address.split(':');
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), host!);
      socket.once('connect', () => resolve(new RawClient(socket)));
      socket.once('error', reject);
    });
  }

  /** @throws Error connection closed; the answer has bytes left over, or lacks some */
  // biome-ignore lint/suspicious/noExplicitAny: tests look at answers of any API
  async call(name: string, version: number, request: unknown, clientId = 'raw'): Promise<any> {
    const api = apiNamed(name);
    const correlationId = ++this.#correlationId;
    const frame = await new Promise<Buffer>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write(frameOf(api, version, request, correlationId, clientId));
    });
    const flexible = version >= api.flexibleFrom;
    const reader = new FrameReader(frame, 4, version, flexible);
    const answered = int32.read(reader);
    if (answered !== correlationId) throw new Error(`answer to ${answered}, not ${correlationId}`);
    if (api.key !== API_VERSIONS) reader.skipTags();
    const response = api.response.read(reader);
    if (reader.position !== frame.length) throw new Error(`${frame.length - reader.position} bytes left over`);
    return response;
  }

  /** Sends bytes as they are. */
  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  close(): void {
    this.#socket.destroy();
  }
}

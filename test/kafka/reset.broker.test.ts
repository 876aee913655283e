/** What waits in a socket when it is reset never arrives, however late the other end is read again. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { KafkaCluster, listOffset, Producer } from '../../src/kafka/index.ts';
import { resetSocket, responseSocketFactory } from '../../src/kafka/response-socket.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { newTopics } from '../support/topics.ts';
import { waitFor } from '../support/wait.ts';

const [broker] = inject('brokers');
const RECORD = Buffer.alloc(400_000, 1);

let direct: KafkaCluster;
let proxy: TcpProxy;
let topic: string;

beforeEach(async () => {
  proxy = await TcpProxy.start(broker!);
  direct = new KafkaCluster({ kafka: { brokers: [broker!] } });
  await direct.connect();
  topic = `t-${randomUUID()}`;
  await newTopics(direct, [topic], 2);
});
afterEach(async () => {
  proxy.close();
  await direct.close();
});

test('discard(): batches on their way to a broker that does not read are never written; later ones are', async () => {
  const { socketFactory } = proxy;
  const producer = new Producer(new KafkaCluster({ kafka: { brokers: [broker!], socketFactory } }), {
    lingerMs: 0,
    batchBytes: 1,
  });
  const send = (value: Uint8Array): void =>
    producer.send(topic, 0, Date.now(), RECORD, 0, -1, value, 0, value.length, []);
  await producer.start();
  await producer.prepare([topic]);
  send(Buffer.from('before'));
  await producer.flush();
  const line = proxy.lines.at(-1)!;
  proxy.hold();
  for (let i = 0; i < 20; i++) send(RECORD);
  // On their way: they are written to the socket at the end of this turn, and the system takes a part at once.
  await new Promise((resolve) => setImmediate(resolve));
  producer.discard();
  proxy.release();
  await waitFor(() => line.broker.destroyed);
  send(Buffer.from('after'));
  await producer.flush();
  expect(await listOffset(direct, { topic, partition: 0 }, 'latest')).toBe(2);
  expect(producer.ackedOffset(topic, 0)).toBe(2);
  await producer.close();
});

/** Bytes that a server gets, of more than the system takes at once, when it begins to read only after the client's socket has ended so. */
async function arrives(secure: boolean, end: (socket: Socket) => void): Promise<number> {
  const server = secure ? createTlsServer(serverTls) : createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, secure ? 'secureConnection' : 'connection') as Promise<[Socket]>;
  let client: Socket | undefined;
  const connected = new Promise<void>((resolve) => {
    client = responseSocketFactory({
      host: '127.0.0.1',
      port,
      ssl: (secure ? clientTls : undefined) as never,
      onConnect: resolve,
    });
  });
  const [peer] = await accepted;
  peer.pause();
  await connected;
  let bytes = 0;
  peer.on('error', () => undefined);
  client!.on('error', () => undefined);
  await fill(client!);
  end(client!);
  peer.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  const closed = once(peer, 'close');
  peer.resume();
  await closed;
  server.close();
  return bytes;
}

/** Writes until the system takes no more. */
async function fill(socket: Socket): Promise<void> {
  for (let taken = 0, written = 0; taken === written; written++) {
    socket.write(Buffer.alloc(100_000), () => taken++);
    for (let turns = 0; turns < 100 && taken <= written; turns++) await new Promise((resolve) => setImmediate(resolve));
  }
  socket.write(Buffer.alloc(1_000_000));
}

/** TLS by a shared key: no certificates are needed. */
const psk = Buffer.alloc(16, 7);
const tls = { ciphers: 'PSK', maxVersion: 'TLSv1.2' } as const;
const serverTls = { ...tls, pskCallback: () => psk };
const clientTls = { ...tls, pskCallback: () => ({ psk, identity: 'test' }), checkServerIdentity: () => undefined };

test.each([
  ['TCP', false],
  ['TLS', true],
])('a reset over %s drops what the system has taken, where destroying delivers it', async (_, secure) => {
  const destroyed = await arrives(secure, (socket) => socket.destroy());
  const reset = await arrives(secure, resetSocket);
  expect(reset).toBeLessThan(destroyed / 2);
});

test('a socket that is not the system’s is destroyed', () => {
  const socket = new Duplex({ read: () => undefined, write: () => undefined });
  socket.write('x');
  resetSocket(socket as Socket);
  expect(socket.destroyed).toBe(true);
});

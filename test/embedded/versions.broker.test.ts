/** Every version of every API that both brokers have: the answer is understood to its last byte. */
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { findApi, supportedApis } from '../../src/embedded/broker/apis/index.ts';
import { NO_PRODUCER, RecordBatchBuilder } from '../../src/kafka/index.ts';
import { RawClient } from '../support/raw-client.ts';
import { sampleRequests } from '../support/sample-requests.ts';

const address = inject('brokers')[0]!;
const id = randomUUID();
const topic = `versions-${id}`;
const group = `group-${id}`;
const batch = (): Buffer => {
  const builder = new RecordBatchBuilder();
  const key = Buffer.from('k');
  builder.append(1, key, 0, 1, key, 0, 1, []);
  return builder.build('none', NO_PRODUCER);
};
const requests = sampleRequests({ topic, group, id, batch: batch() });

let client: RawClient;
let theirs: Map<number, { minVersion: number; maxVersion: number }>;
beforeAll(async () => {
  client = await RawClient.connect(address);
  const { apis } = await client.call('ApiVersions', 3, requests['ApiVersions']!);
  theirs = new Map(apis.map((api: { key: number; minVersion: number; maxVersion: number }) => [api.key, api]));
  await client.call('CreateTopics', 5, requests['CreateTopics']!);
});
afterAll(() => client.close());

describe.each(supportedApis().map(({ key }) => findApi(key)!))('$name', (api) => {
  test('is understood in every version', async () => {
    const request = requests[api.name];
    // SaslAuthenticate outside of a handshake closes the connection on Apache Kafka; broker-sasl.test.ts has it.
    if (request === undefined) return expect(api.name).toBe('SaslAuthenticate');
    const range = theirs.get(api.key)!;
    const from = Math.max(api.minVersion, range.minVersion);
    const to = Math.min(api.maxVersion, range.maxVersion);
    expect(from).toBeLessThanOrEqual(to);
    for (let version = from; version <= to; version++) {
      const response = await client.call(api.name, version, request).catch((error: Error) => {
        throw new Error(`version ${version}: ${error.message}`);
      });
      expect(response).toBeTypeOf('object');
    }
  });
});

/** size | api key | version | correlation id 7 | null client id */
function head(apiKey: number, version: number): Buffer {
  const bytes = Buffer.alloc(14);
  bytes.writeInt32BE(10, 0);
  bytes.writeInt16BE(apiKey, 4);
  bytes.writeInt16BE(version, 6);
  bytes.writeInt32BE(7, 8);
  bytes.writeInt16BE(-1, 12);
  return bytes;
}

test('ApiVersions of a version that is not known is answered as version 0, with UNSUPPORTED_VERSION', async () => {
  // A later version's header has tagged fields: none.
  const later = Buffer.concat([head(18, 99), Buffer.from([0])]);
  later.writeInt32BE(11, 0);
  const answer = await exchange(later);
  expect(answer!.readInt32BE(4)).toBe(7);
  expect(answer!.readInt16BE(8)).toBe(35);
  expect(answer!.readInt32BE(10)).toBeGreaterThanOrEqual(1);
});

test.each([
  ['another API of a version that is not known', head(12, 99)],
  ['an API that does not exist', head(999, 0)],
  ['a frame of a size that no request has', Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 0])],
  ['a negative size', Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0])],
  ['a body that is cut off', Buffer.concat([head(3, 1), Buffer.alloc(0)])],
])('%s closes the connection, and no other', async (_what, bytes) => {
  expect(await exchange(bytes)).toBeUndefined();
  expect((await client.call('ApiVersions', 0, {})).errorCode).toBe(0);
});

/** The first answer to these bytes on a connection of their own; undefined where it is closed instead. */
function exchange(bytes: Buffer): Promise<Buffer | undefined> {
  const [host, port] = address.split(':');
  return new Promise((resolve) => {
    const socket = connect(Number(port), host!, () => socket.write(bytes));
    socket.once('data', (chunk) => {
      resolve(chunk);
      socket.destroy();
    });
    socket.once('error', () => resolve(undefined));
    socket.once('close', () => resolve(undefined));
  });
}

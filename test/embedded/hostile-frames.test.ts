/** Requests that are not what they claim: they close their connection, and never the broker; memory stays in proportion. */

import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findApi, supportedApis } from '../../src/embedded/broker/apis/index.ts';
import { Connection } from '../../src/embedded/broker/connection.ts';
import { EmbeddedBroker } from '../../src/embedded/broker/embedded-broker.ts';
import { NO_PRODUCER, RecordBatchBuilder } from '../../src/kafka/index.ts';
import { frameOf } from '../support/raw-client.ts';
import { sampleRequests } from '../support/sample-requests.ts';

const COUNT = Number(process.env['HOSTILE_FRAMES'] ?? 100_000);

let broker: EmbeddedBroker;
beforeAll(async () => {
  broker = new EmbeddedBroker({});
  await broker.start();
  broker.topics.create('t', 1, new Map());
});
afterAll(() => broker.stop());

/** A connection without a network. */
class Wire extends Duplex {
  setNoDelay(): this {
    return this;
  }
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done();
  }
}

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
}

test(`${COUNT} mutated requests`, { timeout: 1_200_000 }, async () => {
  const builder = new RecordBatchBuilder();
  const text = Buffer.from('hello');
  builder.append(1, text, 0, 5, text, 0, 5, []);
  const samples = sampleRequests({ topic: 't', group: 'g', id: 'x', batch: builder.build('none', NO_PRODUCER) });
  const frames = supportedApis()
    .map(({ key }) => findApi(key)!)
    .flatMap((api) => {
      const request = samples[api.name];
      if (request === undefined) return [];
      const versions = Array.from({ length: api.maxVersion - api.minVersion + 1 }, (_, i) => api.minVersion + i);
      return versions.map((version) => frameOf(api, version, request));
    });
  const next = random(7);
  const before = process.memoryUsage().rss;
  let closed = 0;
  for (let i = 0; i < COUNT; i++) {
    const frame = Buffer.from(frames[next() % frames.length]!);
    for (let n = 1 + (next() % 3); n > 0; n--) {
      const at = next() % frame.length;
      // Bit flips, extremes, and what is there moved elsewhere.
      frame[at] = [frame[at]! ^ (1 << (next() % 8)), 0xff, 0x7f, 0x80, 0][next() % 5]!;
    }
    const cut = next() % 10 === 0 ? frame.subarray(0, next() % frame.length) : frame;
    // Half of them keep a size that fits, or nothing else would be looked at.
    if (next() % 2 === 0 && cut.length >= 4) cut.writeInt32BE(cut.length - 4, 0);
    const wire = new Wire();
    const connection = new Connection(broker, wire as unknown as Socket);
    wire.push(cut);
    // Its frame is looked at; one that is parked stays so until its connection ends.
    await new Promise((resolve) => setImmediate(resolve));
    if (!connection.isOpen) closed++;
    connection.close();
  }
  // Most are found out by their form; the others are requests, of odd content.
  expect(closed).toBeGreaterThan(COUNT / 10);
  expect(process.memoryUsage().rss - before).toBeLessThan(500 * 1024 * 1024);
  expect(broker.topics.get('t')).toBeDefined();
});

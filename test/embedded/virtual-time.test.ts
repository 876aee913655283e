/**
 * What a simulation relies on: in memory the broker uses node:net, timers, Date and randomUUID, and nothing else of the
 * outside; where these are replaced, no turn of the real event loop is needed, and the same requests get the same bytes.
 */
import { Duplex } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { findApi, supportedApis } from '../../src/embedded/broker/apis/index.ts';
import { type EmbeddedKafka, startKafka } from '../../src/embedded/index.ts';
import { loadZstd } from '../../src/kafka/index.ts';
import { batchOf } from '../support/partition-client.ts';
import { frameOf } from '../support/raw-client.ts';
import { sampleRequests } from '../support/sample-requests.ts';

const net = vi.hoisted(() => ({ servers: new Map<number, (socket: unknown) => void>() }));
const random = vi.hoisted(() => ({ next: 0 }));

vi.mock('node:fs', () => {
  const forbidden = () => {
    throw new Error('the file system was used');
  };
  const names = ['closeSync', 'existsSync', 'fstatSync', 'ftruncateSync', 'mkdirSync', 'openSync', 'readFileSync'];
  const more = ['readSync', 'readdirSync', 'renameSync', 'rmSync', 'writeFileSync', 'writeSync'];
  return Object.fromEntries([...names, ...more].map((name) => [name, forbidden]));
});
vi.mock('node:crypto', () => ({
  randomUUID: () => `00000000-0000-4000-8000-${String(random.next++).padStart(12, '0')}`,
}));
vi.mock('node:net', () => ({
  createServer(connected: (socket: unknown) => void) {
    const port = 40_000 + net.servers.size;
    return {
      once() {},
      listen(_port: number, _host: string, listening: () => void) {
        net.servers.set(port, connected);
        listening();
      },
      address: () => ({ port }),
      close(closed: () => void) {
        net.servers.delete(port);
        closed();
      },
    };
  },
}));

class Wire extends Duplex {
  readonly written: Buffer[] = [];
  setNoDelay(): this {
    return this;
  }
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk);
    done();
  }
}

function connect(kafka: EmbeddedKafka, node: number): Wire {
  const wire = new Wire();
  net.servers.get(Number(kafka.addressOf(node).split(':')[1]))!(wire);
  return wire;
}

/** Lets what is due now run: ticks and promises, no timers. */
async function drain(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise<void>((resolve) => process.nextTick(resolve));
}

const realImmediate = setImmediate;
let hasTurned: boolean;
beforeEach(async () => {
  await loadZstd();
  net.servers.clear();
  random.next = 0;
  hasTurned = false;
  realImmediate(() => {
    hasTurned = true;
  });
  vi.useFakeTimers({ now: 1_700_000_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Every API in every version, on three nodes, with a minute between rounds; returns all that was answered. */
async function conversation(): Promise<Buffer> {
  const kafka = await startKafka({ nodes: 3, topics: [{ topic: 't', partitions: 3 }] });
  const samples = sampleRequests({ topic: 't', group: 'g', id: 'x', batch: batchOf(['v']) });
  const wires = [1, 2, 3].map((node) => connect(kafka, node));
  for (let round = 0; round < 2; round++) {
    for (const { key } of supportedApis()) {
      const api = findApi(key)!;
      const request = samples[api.name];
      for (let version = api.minVersion; request !== undefined && version <= api.maxVersion; version++) {
        for (const wire of wires) wire.push(frameOf(api, version, request, key));
        await drain();
        vi.advanceTimersByTime(20);
        await drain();
      }
    }
    kafka.moveLeader('t', 0, 2);
    vi.advanceTimersByTime(60_000);
    await kafka.stopNode(3);
  }
  const answers = Buffer.concat(wires.flatMap(({ written }) => written));
  await kafka.close();
  return answers;
}

test('it starts, answers and stops without a file and without a turn of the event loop; no timer is left', async () => {
  const answers = await conversation();
  expect(answers.length).toBeGreaterThan(10_000);
  expect([hasTurned, vi.getTimerCount(), net.servers.size]).toEqual([false, 0, 0]);
  // The files would have been noticed.
  await expect(startKafka({ dataDir: 'anywhere' })).rejects.toThrow('the file system was used');
});

test('the same requests at the same times get the same bytes', async () => {
  const first = await conversation();
  net.servers.clear();
  random.next = 0;
  vi.setSystemTime(1_700_000_000_000);
  const second = await conversation();
  expect(second.equals(first)).toBe(true);
});

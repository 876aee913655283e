/** `npm start` and `npm run stack`, as a user runs them: what is shown, how they end, what survives. */
import { chmodSync } from 'node:fs';
import { connect } from 'node:net';
import { Kafka, logLevel } from 'kafkajs';
import { afterEach, expect, test } from 'vitest';
import { startReceiver } from '../support/anomalies.ts';
import { freePort } from '../support/free-port.ts';
import { hasPostgres, query } from '../support/postgres/postgres.ts';
import { type Program, startProgram, temporaryFolder } from '../support/programs.ts';
import { waitFor } from '../support/wait.ts';

let programs: Program[] = [];
afterEach(async () => {
  for (const program of programs) await program.kill('SIGKILL');
  programs = [];
});

function run(app: 'start' | 'stack', env: Readonly<Record<string, string>>): Program {
  const program = startProgram(app, env);
  programs.push(program);
  return program;
}

async function settings(): Promise<Record<string, string>> {
  return {
    KAFKA_PORT: String(await freePort()),
    SCHEMA_REGISTRY_PORT: String(await freePort()),
    DATA_DIR: temporaryFolder(),
  };
}

const isUp = (program: Program): Promise<void> =>
  waitFor(() => /schema registry/.test(program.output()), 20_000, 'the stack');

test('npm start shows this machine’s aggregated windows, ends cleanly, and goes on where it stopped', async () => {
  const env = await settings();
  const first = run('start', env);
  await waitFor(() => /^host:cpu \d\d:\d\d count=\d/m.test(first.output()), 40_000, 'the first window');
  expect(first.output()).toContain(`127.0.0.1:${env['KAFKA_PORT']}`);
  expect(first.output()).toContain(env['DATA_DIR']);
  expect(await first.kill('SIGINT')).toBe(0);
  const again = run('start', env);
  await waitFor(() => /^host:cpu /m.test(again.output()), 40_000, 'a window');
  const kafka = new Kafka({ brokers: [`127.0.0.1:${env['KAFKA_PORT']}`], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets('metrics');
  await admin.disconnect();
  // What the first had written is there.
  expect(ends.reduce((sum, { high }) => sum + Number(high), 0)).toBeGreaterThan(12);
  expect(await again.kill('SIGTERM')).toBe(0);
});

test.skipIf(!hasPostgres)(
  'npm start runs every pipeline: metrics are in the database, an anomaly is an alert, a webhook call and a remediation',
  async () => {
    const receiver = await startReceiver();
    const { url, calls } = receiver;
    const env = await settings();
    // The database is another user's where this is root's.
    chmodSync(env['DATA_DIR']!, 0o755);
    const program = run('start', { ...env, ALERT_WEBHOOK_URL: `${url}/hook`, AIOPS_URL: `${url}/aiops` });
    await waitFor(() => /^host:cpu /m.test(program.output()), 40_000, 'a window');
    const database = /PostgreSQL (postgres:\S+)/.exec(program.output())![1]!;
    await waitFor(async () => Number((await query(database, 'SELECT count(*) FROM metrics'))[0]!['count']) > 10);
    const sender = startProgram(
      'send-anomaly',
      {
        KAFKA_BROKERS: `127.0.0.1:${env['KAFKA_PORT']}`,
        SCHEMA_REGISTRY_URL: `http://127.0.0.1:${env['SCHEMA_REGISTRY_PORT']}`,
      },
      ['--service', 'shop', '--id', 'a-1', '--metric', 'cpu', '--metric', 'latency', '--remediate'],
    );
    programs.push(sender);
    expect(await sender.exited, sender.output()).toBe(0);
    await waitFor(() => /^remediation accepted shop: incident a-1$/m.test(program.output()), 20_000, 'the remediation');
    await waitFor(() => calls.length >= 2 && /^alert /m.test(program.output()), 20_000, 'the calls');
    expect(program.output()).toMatch(/^alert critical shop: Anomaly detected: cpu, latency$/m);
    expect(calls.map(({ path, body }) => [path, body.service ?? body.service_name]).sort()).toEqual([
      ['/aiops', 'shop'],
      ['/hook', 'shop'],
    ]);
    expect(await program.kill('SIGTERM')).toBe(0);
    await receiver.close();
  },
);

test('a port in use is named, with the setting that moves it', async () => {
  const env = await settings();
  await isUp(run('stack', env));
  const second = run('stack', { ...env, DATA_DIR: temporaryFolder() });
  expect(await second.exited).toBe(1);
  expect(second.output()).toContain(env['KAFKA_PORT']);
  expect(second.output()).toContain('KAFKA_PORT');
  const third = run('stack', { ...env, KAFKA_PORT: '0', DATA_DIR: temporaryFolder() });
  expect(await third.exited).toBe(1);
  expect(third.output()).toContain('SCHEMA_REGISTRY_PORT');
  expect(third.output()).not.toMatch(/\n\s+at /);
});

test('what was acknowledged survives kill -9 of the broker, several times', async () => {
  const env = await settings();
  const brokers = [`127.0.0.1:${env['KAFKA_PORT']}`];
  const producer = new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { retries: 0 } }).producer();
  const acknowledged: string[] = [];
  for (let round = 0; round < 3; round++) {
    const stack = run('stack', env);
    await isUp(stack);
    await producer.connect();
    let running = true;
    const writing = (async () => {
      for (let i = 0; running; i++) {
        const messages = Array.from({ length: 20 }, (_, n) => ({ value: `${round}/${i}/${n}` }));
        try {
          await producer.send({ topic: 'events', acks: -1, messages });
          acknowledged.push(...messages.map(({ value }) => value));
        } catch {
          return;
        }
      }
    })();
    const before = acknowledged.length;
    await waitFor(() => acknowledged.length > before + 400);
    await stack.kill('SIGKILL');
    running = false;
    await writing;
  }
  await isUp(run('stack', env));
  const consumer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).consumer({ groupId: 'reader' });
  await consumer.connect();
  await consumer.subscribe({ topic: 'events', fromBeginning: true });
  const seen = new Set<string>();
  await consumer.run({ eachMessage: async ({ message }) => void seen.add(String(message.value)) });
  await waitFor(() => acknowledged.every((value) => seen.has(value)), 30_000, 'everything acknowledged');
  await consumer.disconnect();
  await producer.disconnect();
});

test('a full disk: producers are told, what fits still goes in, and nothing acknowledged is lost', async () => {
  const env = await settings();
  const full = startProgram('stack', env, [], 300);
  programs.push(full);
  await isUp(full);
  const kafka = new Kafka({ brokers: [`127.0.0.1:${env['KAFKA_PORT']}`], logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ retry: { retries: 0 } });
  await producer.connect();
  const acknowledged: string[] = [];
  const send = async (name: string, sizeBytes: number): Promise<void> => {
    await producer.send({ topic: 'events', messages: [{ partition: 0, key: name, value: Buffer.alloc(sizeBytes) }] });
    acknowledged.push(name);
  };
  await send('first', 100_000);
  await send('second', 100_000);
  // The file takes a part of it.
  await expect(send('too large', 150_000)).rejects.toMatchObject({ cause: { type: 'KAFKA_STORAGE_ERROR' } });
  expect(full.output()).toContain('records could not be stored');
  await send('what fits', 10);
  await full.kill('SIGKILL');
  await isUp(run('stack', env));
  await send('with room again', 150_000);
  const consumer = kafka.consumer({ groupId: 'reader' });
  await consumer.connect();
  await consumer.subscribe({ topic: 'events', fromBeginning: true });
  const seen: string[] = [];
  await consumer.run({ eachMessage: async ({ message }) => void seen.push(String(message.key)) });
  await waitFor(() => seen.length >= acknowledged.length, 30_000, `${acknowledged}, so far ${seen}`);
  expect(seen).toEqual(acknowledged);
  await consumer.disconnect();
  await producer.disconnect();
});

test('a data folder that cannot be written to is named, with the setting', async () => {
  const stack = run('stack', { ...(await settings()), DATA_DIR: '/dev/null/data' });
  expect(await stack.exited).toBe(1);
  expect(stack.output()).toContain('/dev/null/data');
  expect(stack.output()).toContain('DATA_DIR');
  expect(stack.output()).not.toMatch(/\n\s+at /);
});

test('the broker listens on loopback', async () => {
  const env = await settings();
  await isUp(run('stack', env));
  const socket = connect(Number(env['KAFKA_PORT']), '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  expect(socket.remoteAddress).toBe('127.0.0.1');
  socket.destroy();
});

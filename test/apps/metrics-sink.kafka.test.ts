/**
 * The sink as a process while its database is stopped, slow, full or not there yet: it waits, stays a member of its group,
 * and ends when it is told to. On the embedded broker and PostgreSQL servers of its own, which take longer than the default
 * suite has.
 */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type EmbeddedKafka, startKafka } from '../../src/embedded/index.ts';
import { readTopic } from '../support/kafkajs-reader.ts';
import { hasPostgres, type OwnPostgres, query, startOwnPostgres } from '../support/postgres/postgres.ts';
import type { Program } from '../support/programs.ts';
import { generations, metricOf, running, SinkJob, said } from '../support/sink-job.ts';
import { loading, sending, stored } from '../support/sink-moments.ts';
import { waitFor } from '../support/wait.ts';

/** The tries take several times as long, so that a member which is not heard of would be missed. */
const SESSION_TIMEOUT_MS = '1000';

let kafka: EmbeddedKafka;
let job: SinkJob;
beforeAll(async () => {
  kafka = await startKafka({ groupMinSessionTimeoutMs: 100 });
  job = await SinkJob.open(kafka.brokers);
});
afterAll(async () => {
  await job?.close();
  await kafka?.close();
});
afterEach(() => job.end());

/** A program that has stored something. */
async function startStoring(): Promise<Program> {
  const program = job.start({ SESSION_TIMEOUT_MS });
  await running(program);
  await job.send(100);
  await job.waitForStored();
  return program;
}

const WAITING = /trying again/g;

/** More tries than a session lasts. */
function triesAgain(program: Program): Promise<void> {
  const before = program.output().match(WAITING)?.length ?? 0;
  return waitFor(() => (program.output().match(WAITING)?.length ?? 0) >= before + 4, 60_000, 'tries');
}

async function expectEachOnceInOneGeneration(program: Program): Promise<void> {
  await job.waitForStored();
  expect(await program.kill('SIGTERM')).toBe(0);
  expect(generations(program)).toHaveLength(1);
  await job.expectEachOnce();
}

describe.runIf(hasPostgres)('a database of its own', () => {
  let postgres: OwnPostgres;
  beforeEach(async () => {
    postgres = await startOwnPostgres();
    await job.begin(postgres.server.url);
  });
  afterEach(() => postgres.close());

  test.each(['stop', 'kill'] as const)('%s, and started again: the sink waits, in one generation', async (how) => {
    const program = await startStoring();
    await postgres[how]();
    await job.send(200);
    await triesAgain(program);
    await postgres.start();
    await job.waitForStored();
    // Restarted, with nothing to store meanwhile.
    await postgres[how]();
    await postgres.start();
    await job.send(200);
    await expectEachOnceInOneGeneration(program);
  });

  test('stopped between two batches for good: SIGTERM ends the sink, and another goes on when it is back', async () => {
    const program = await startStoring();
    await postgres.stop();
    await job.send(200);
    await triesAgain(program);
    expect(await program.kill('SIGTERM')).toBe(0);
    const next = job.start({ SESSION_TIMEOUT_MS });
    await triesAgain(next);
    await postgres.start();
    await running(next);
    await expectEachOnceInOneGeneration(next);
  });

  test('not there at the start: the sink waits for it', async () => {
    await postgres.stop();
    const program = job.start({ SESSION_TIMEOUT_MS });
    await job.send(200);
    await triesAgain(program);
    await postgres.start();
    await running(program);
    await expectEachOnceInOneGeneration(program);
  });

  test('out of connections, at the start and later: the sink waits for one', async () => {
    await query(postgres.server.url, 'ALTER SYSTEM SET max_connections = 8');
    await postgres.stop();
    await postgres.start();
    let others = await takeConnections(postgres.server.url);
    const program = job.start({ SESSION_TIMEOUT_MS });
    await said(program, /trying again/);
    expect(program.output()).toContain('too many clients');
    await letGo(others);
    await running(program);
    await job.send(100);
    await job.waitForStored();
    const [first] = (others = await takeConnections(postgres.server.url));
    await first!.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace'");
    others.push(...(await takeConnections(postgres.server.url)));
    await job.send(200);
    await triesAgain(program);
    await letGo(others);
    await expectEachOnceInOneGeneration(program);
  });

  test('a password that is changed under it ends the sink, which says what to do and not the password', async () => {
    const address = new URL(postgres.server.url);
    const program = await startStoring();
    await query(postgres.server.url, `ALTER ROLE ${address.username} PASSWORD 'another'`);
    await query(postgres.server.url, TERMINATE);
    await job.send(10);
    expect(await program.exited).toBe(1);
    const last = program.output().trim().split('\n').at(-1);
    expect(last).toMatch(/password authentication failed.*DATABASE_URL/);
    expect(program.output()).not.toContain(address.password);
  });
});

const TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace'";

/** All that are left. */
async function takeConnections(url: string): Promise<pg.Client[]> {
  const taken: pg.Client[] = [];
  for (;;) {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    try {
      await client.connect();
    } catch {
      return taken;
    }
    taken.push(client);
  }
}

async function letGo(clients: readonly pg.Client[]): Promise<void> {
  for (const client of clients) await client.end();
}

describe.runIf(hasPostgres)('a database that all tests share', () => {
  beforeEach(() => job.begin());

  test('slow to answer: the sink stores all, in one generation', async () => {
    job.proxy.trickle = { bytes: 4, everyMs: 20 };
    const program = job.start({ SESSION_TIMEOUT_MS });
    await running(program);
    await job.send(450);
    await expectEachOnceInOneGeneration(program);
  });

  test('one that takes a statement and says nothing for longer than a session: the sink waits', async () => {
    const program = await startStoring();
    let release: (() => void) | undefined;
    sending(job.proxy, (held) => {
      release = () => held.pass();
    });
    await job.send(200);
    await waitFor(() => release !== undefined);
    const heartbeats = kafkaHeartbeats();
    await waitFor(() => heartbeats() > 6);
    release!();
    await expectEachOnceInOneGeneration(program);
  });

  test.for([
    ['before the sink has joined its group', undefined],
    ['when the sink asks where to begin', loading],
    ['with the statement of a batch under way', sending],
    ['with a batch that it has stored and not answered', stored],
  ] as const)('one that hangs %s: SIGTERM ends it with exit code 0, another goes on', async ([, moment]) => {
    let isHanging = false;
    const hang = (): void => {
      isHanging = true;
      job.proxy.goDark();
      job.proxy.isDark = true;
    };
    if (moment === undefined) hang();
    else moment(job.proxy, hang);
    await job.send(200);
    const program = job.start();
    await waitFor(() => isHanging && job.proxy.lines.length > 0);
    expect(await program.kill('SIGTERM')).toBe(0);
    job.proxy.isDark = false;
    const next = job.start();
    await running(next);
    await job.waitForStored();
    expect(await next.kill('SIGTERM')).toBe(0);
    await job.expectEachOnce();
  });

  test('of a thousand metrics one has a NUL: it goes to the dead letters, 999 are stored', async () => {
    const values = Array.from({ length: 1_000 }, (_, i) =>
      job.avro({ ...metricOf(i), service: i === 417 ? 'a\0b' : 's' }),
    );
    await job.sendValues(values, 0);
    const program = job.start({ BATCH_MAX_RECORDS: '1000', BATCH_MAX_WAIT_MS: '5000' });
    await running(program);
    await job.waitForStored(999);
    const dead = await readTopic(kafka.brokers, 'metrics-dlq', 1);
    expect(dead.map(({ value }) => value)).toEqual([values[417]]);
    expect(await job.remembered()).toEqual([1_000]);
    expect(await program.kill('SIGTERM')).toBe(0);
    expect(await job.storedCount()).toBe(999);
    expect(await query(job.url, 'SELECT value FROM metrics WHERE value = 417')).toEqual([]);
  });

  test('a wrong password ends the sink at once: it says what to do and not the password', async () => {
    const address = new URL(job.url);
    address.password = 'secret-of-mine';
    const program = job.start({ DATABASE_URL: String(address) });
    expect(await program.exited).toBe(1);
    expect(program.output()).toMatch(
      /password authentication failed for user .*Check user name and password in DATABASE_URL/,
    );
    expect(program.output()).not.toContain('secret-of-mine');
    expect(program.output()).not.toMatch(/\n\s+at /);
  });
});

/** Heartbeats that the broker has answered since. */
function kafkaHeartbeats(): () => number {
  let count = 0;
  kafka.inject({ api: 'Heartbeat', times: Infinity, action: { kind: 'run', run: () => void count++ } });
  return () => count;
}

test('without DATABASE_URL it says what to set', async () => {
  await job.begin('postgres://nowhere:1/x');
  const program = job.start({ DATABASE_URL: '' });
  expect(await program.exited).toBe(1);
  expect(program.output()).toMatch(/^DATABASE_URL is not set: .*postgres:\/\//);
});

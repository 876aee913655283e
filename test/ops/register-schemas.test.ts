/** The command that registers schemas, on the embedded registry. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { startRegistry } from '../../src/embedded/index.ts';
import { SchemaRegistry } from '../../src/index.ts';
import { folderOf, registrationSuite, run } from '../support/registration-suite.ts';
import { startTestRegistry } from '../support/registry.ts';
import { SCHEMAS } from '../support/schema-versions.ts';
import { closeLater, ownKafka } from '../support/streams.ts';

async function newRegistry(users?: Readonly<Record<string, string>>): Promise<string> {
  const kafka = await ownKafka();
  const registry = await startRegistry({ kafka: { brokers: kafka.brokers }, ...(users && { users }) });
  closeLater(() => registry.close());
  return registry.url;
}

registrationSuite(newRegistry);

test('every schema of the package has its topic, and nothing else has', () => {
  const topics = JSON.parse(readFileSync(join(SCHEMAS, 'topics.json'), 'utf8')) as object;
  const names = readdirSync(SCHEMAS).filter((file) => file.endsWith('.avsc'));
  expect(Object.keys(topics).sort()).toEqual(names.map((file) => basename(file, '.avsc')).sort());
});

test('versions of one’s own that do not follow from each other are refused', async () => {
  const url = await newRegistry();
  const folder = folderOf({
    'topics.json': { n: 'numbers' },
    'n.avsc': '"string"',
    'versions/n-1.avsc': '"int"',
    'versions/n-10.avsc': '"string"',
    'versions/n-9.avsc': '"long"',
  });
  expect(await run(url, [folder, '--all-versions'])).toMatchObject({
    status: 1,
    out: expect.stringContaining('numbers-value (n.avsc): WOULD BREAK between its own versions\n'),
  });
  expect(await run(url, [folder])).toMatchObject({ status: 0 });
});

test('a schema that the subject has in an older version is not registered again', async () => {
  const url = await newRegistry();
  const registry = new SchemaRegistry({ url });
  await registry.idOf('n-value', '"int"');
  await registry.idOf('n-value', '"long"');
  const { status, out } = await run(url, [folderOf({ 'topics.json': { n: 'n' }, 'n.avsc': '"int"' })]);
  expect([status, out]).toEqual([0, 'n-value (n.avsc): unchanged, version 1 of 2, id 1\nNothing to do.\n']);
});

test('a change in nothing but words is a version', async () => {
  const url = await newRegistry();
  const schema = { type: 'record', name: 'R', fields: [{ name: 'a', type: 'int' }] };
  await new SchemaRegistry({ url }).idOf('r-value', JSON.stringify(schema));
  const folder = folderOf({ 'topics.json': { r: 'r' }, 'r.avsc': { ...schema, doc: 'What it is.' } });
  expect(await run(url, [folder])).toMatchObject({
    status: 0,
    out: 'r-value (r.avsc): changed since version 1\n  in nothing that records show\nRegistered 1 of 1: r-value id 2.\n',
  });
});

test('what fails on the way is told, with what was registered before', async () => {
  const url = await newRegistry();
  const headers = { 'content-type': 'application/json' };
  await fetch(`${url}/mode/metrics-value`, { method: 'PUT', headers, body: '{"mode":"READONLY"}' });
  const { status, out, error } = await run(url);
  expect(status).toBe(2);
  expect(out).toMatch(/Registered 3 of 6: metrics-aggregated-value id 1, alerts-value id 2, anomalies-value id 3\.\n$/);
  expect(error).toMatch(/422 .* Subject metrics-value is in read-only mode/);
});

describe('what is wrong is said, with status 2, and there is no stack', () => {
  test('a registry that is away, within the time that is given', async () => {
    const { status, out, error } = await run('http://127.0.0.1:9', ['--timeout', '150']);
    expect([status, out]).toEqual([2, '']);
    expect(error).toMatch(/^No answer from the schema registry at http:\/\/127.0.0.1:9 .*SCHEMA_REGISTRY_URL/);
  });

  test('a registry that is failing', async () => {
    const registry = await startTestRegistry();
    registry.fail(503);
    const { status, error } = await run(registry.url, ['--timeout', '150']);
    expect([status, error]).toEqual([2, expect.stringMatching(/answered 503 to GET|No answer/)]);
    await registry.close();
  });

  test('a login that is refused; the password comes from the environment', async () => {
    const url = await newRegistry({ alice: 's3cret' });
    const password = { SCHEMA_REGISTRY_PASSWORD: 's3cret' };
    expect(await run(url, ['--username', 'bob'], password)).toMatchObject({
      status: 2,
      error: expect.stringContaining('answered 401'),
    });
    expect((await run('http://127.0.0.1:9', ['--url', url, '--username', 'alice'], password)).status).toBe(0);
  });

  test.each<[string, readonly string[], RegExp]>([
    ['no such option', ['--nonsense'], /unknown option '--nonsense'/],
    ['a level that is none', ['--compatibility', 'SOME'], /NONE, BACKWARD, FORWARD, FULL/],
    ['a time that is none', ['--timeout', 'soon'], /whole number of milliseconds/],
    ['an address that is none', ['--url', 'registry'], /SCHEMA_REGISTRY_URL must be/],
    ['a certificate that is not there', ['--ca', '/nowhere'], /SCHEMA_REGISTRY_SSL_CA/],
    ['a folder that is not there', ['/nowhere'], /The folder \/nowhere cannot be read/],
    ['an empty folder', [folderOf({})], /no \.avsc files/],
    ['a schema without a topic', [folderOf({ 'x.avsc': '"int"' })], /x\.avsc has no topic.*topics\.json/],
    ['a file that is no JSON', [folderOf({ 'metric.avsc': '{' })], /metric\.avsc cannot be read/],
    ['a file that is no schema', [folderOf({ 'metric.avsc': '{"type":"x"}' })], /metric\.avsc: Not an Avro schema/],
    [
      'an older version that is none',
      [folderOf({ 'metric.avsc': '"int"', 'versions/metric-1.avsc': '"x"' })],
      /metric-1/,
    ],
    [
      'two schemas of one topic',
      [folderOf({ 'a.avsc': '"int"', 'b.avsc': '"long"', 'topics.json': { a: 't', b: 't' } })],
      /b\.avsc and a\.avsc have one topic, t/,
    ],
    ['topics that are none', [folderOf({ 'metric.avsc': '"int"', 'topics.json': '[]' })], /must be an object/],
  ])('%s', async (_name, args, message) => {
    const { status, out, error } = await run('http://127.0.0.1:9', args);
    expect([status, out]).toEqual([2, '']);
    expect(error).toMatch(message);
    expect(error).not.toMatch(/\n\s+at /);
  });

  test('help is no fault', async () => {
    expect(await run('', ['--help'])).toMatchObject({ status: 0, error: '', out: expect.stringContaining('Usage: ') });
  });
});

test('as a program: its status is the process’s', async () => {
  const url = await newRegistry();
  await run(url);
  const program = join(process.cwd(), 'dist/ops/register-schemas.js');
  const args = [program, folderOf({ 'metric.avsc': '"int"' })];
  const running = promisify(execFile)(process.execPath, args, { env: { SCHEMA_REGISTRY_URL: url } });
  await expect(running).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringContaining('the value was the record com.iacdharma.v3.metrics.Metric and is int now'),
  });
});

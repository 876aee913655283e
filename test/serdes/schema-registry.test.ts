import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { silentLogger } from '../../src/logger.ts';
import { SchemaRegistry } from '../../src/serdes/index.ts';
import { startTestRegistry } from '../support/registry.ts';
import { waitFor } from '../support/wait.ts';

const refused = (options: object): unknown => {
  try {
    return new SchemaRegistry(options as never);
  } catch (error) {
    return error;
  }
};

test.each([
  { url: 'not an address' },
  { url: 'ftp://user:secret@registry' },
  { url: 'localhost:8081' },
  { url: 'http://user:secret%@registry' },
  { url: undefined },
  { url: 'http://registry', timeoutMs: 0 },
  { url: 'http://registry', timeoutMs: Number.NaN },
  { url: 'http://registry', timeoutMs: 2 ** 40 },
  { url: 'http://registry', unknownIdTtlMs: -1 },
])('$url, $timeoutMs, $unknownIdTtlMs is refused when the client is made, and the password is not shown', (options) => {
  const error = refused(options);
  expect(error).toMatchObject({ code: 'MILLRACE_SERDES_INVALID_OPTION' });
  expect(inspect(error, { showHidden: true })).not.toContain('secret');
});

test('an option that is undefined is absent', async () => {
  const server = await startTestRegistry();
  try {
    const options = {
      url: server.url,
      autoRegister: undefined,
      timeoutMs: undefined,
      unknownIdTtlMs: undefined,
      logger: undefined,
    };
    await new SchemaRegistry({ ...options, auth: undefined, ca: undefined } as never).idOf('s', '"long"');
    expect(server.requests).toEqual(['POST /subjects/s/versions']);
  } finally {
    await server.close();
  }
});

test('a registry that is away is tried for as long as somebody waits, and no longer', async () => {
  const server = await startTestRegistry();
  const registry = new SchemaRegistry({ url: server.url });
  server.fail(503);
  const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  // The runner's own.
  await waitFor(() => timers() === 0);
  const [first, second] = [new AbortController(), new AbortController()];
  const waiting = [first, second].map(({ signal }) =>
    registry.schemaById(1, signal).catch((error: { code: string }) => error.code),
  );
  await waitFor(() => server.requests.length > 0);
  first.abort();
  expect(await waiting[0]).toBe('MILLRACE_SERDES_REGISTRY_UNREACHABLE');
  const soFar = server.requests.length;
  await waitFor(() => server.requests.length > soFar);
  second.abort();
  expect(await waiting[1]).toBe('MILLRACE_SERDES_REGISTRY_UNREACHABLE');
  // Sooner than the next try would have come; the runner has timers of its own for moments.
  await waitFor(() => timers() === 0, 200, 'no timer left');
  // Who asks afterwards is not refused because of it.
  server.fail(undefined);
  expect(await registry.schemaById(await registry.idOf('s', '"int"'))).toBe('"int"');
  await server.close();
});

test('asking what a subject has and would take registers nothing; an answer that is none is an error', async () => {
  const server = await startTestRegistry();
  const registry = new SchemaRegistry({ url: server.url });
  expect(await registry.latest('s')).toBeUndefined();
  expect(await registry.lookUp('s', '"int"')).toBeUndefined();
  expect(await registry.incompatibilities('a/b', '"int"')).toEqual([]);
  expect(server.requests).toEqual([
    'GET /subjects/s/versions/latest',
    'POST /subjects/s',
    'POST /compatibility/subjects/a%2Fb/versions/latest?verbose=true',
  ]);
  server.fail(200);
  for (const asking of [registry.latest('s'), registry.lookUp('s', '"int"'), registry.incompatibilities('s', '"int"')])
    await expect(asking).rejects.toMatchObject({ code: 'MILLRACE_SERDES_REGISTRY_REFUSED' });
  await server.close();
});

test('a wait that a signal ends says what it waited for', async () => {
  const ending = new AbortController();
  const logger = { ...silentLogger, warn: () => ending.abort() };
  const registry = new SchemaRegistry({ url: 'http://127.0.0.1:9', logger });
  await expect(registry.latest('s', ending.signal)).rejects.toMatchObject({
    code: 'MILLRACE_SERDES_REGISTRY_UNREACHABLE',
    message: expect.stringContaining('ECONNREFUSED'),
  });
});

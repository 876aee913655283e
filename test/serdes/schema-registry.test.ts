import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { SchemaRegistry } from '../../src/serdes/index.ts';
import { startTestRegistry } from '../support/registry.ts';

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

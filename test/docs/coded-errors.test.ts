/** Every error that a user can meet has a code: what is thrown without one is listed here, with why nobody meets it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const SRC = join(import.meta.dirname, '../../src');

/** By file: where such an error goes. A line goes when its file needs it no more. */
const UNCODED: Readonly<Record<string, string>> = {
  'errors.ts': 'the base of the coded ones, and what user code threw that is no Error',
  'apps/alerts/alert.ts': 'goes into the headers of a dead letter',
  'embedded/broker/wire-types.ts': 'a request that cannot be read: the connection is closed, as Kafka does',
  'embedded/registry/registry-fault.ts': 'an answer of the registry: status and code of its REST interface',
  'runtime/restore/changelog-reader.ts': 'cause of MILLRACE_RUNTIME_TASK_TIMEOUT',
  'serdes/http-exchange.ts': 'cause of MILLRACE_SERDES_REGISTRY_UNREACHABLE',
  'settings/environment.ts': 'a program’s message at its end; no API throws it',
  'state/task-metadata.ts': 'cause of MILLRACE_STATE_CORRUPT',
};

// An error of JavaScript's own made or extended, or anything thrown that is none.
const SUSPECT =
  /new (?:Error|RangeError|TypeError|SyntaxError|AggregateError)\(|extends (?:Error|RangeError|TypeError)\b|throw ['"`{[\d]/;

test('no error without a code is thrown but where nobody meets it', () => {
  const found = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && SUSPECT.test(readFileSync(join(SRC, file), 'utf8')))
    .sort();
  expect(found).toEqual(Object.keys(UNCODED).sort());
});

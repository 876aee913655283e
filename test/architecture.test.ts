/** The import column of DESIGN.md's rooms: who may import whom. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from 'vitest';

const SRC = join(import.meta.dirname, '../src');

const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  kafka: [],
  serdes: [],
  state: ['serdes'],
  topology: ['state', 'serdes'],
  processors: ['topology', 'state', 'serdes'],
  dsl: ['processors', 'topology', 'state', 'serdes'],
  runtime: ['topology', 'state', 'serdes', 'kafka'],
  testing: ['topology', 'state', 'serdes', 'runtime'],
  embedded: ['kafka', 'serdes'],
  apps: ['index.ts', 'embedded'],
  ops: ['index.ts', 'kafka'],
};

const LEAVES = ['errors.ts', 'logger.ts', 'bytes.ts', 'byte-views.ts', 'headers.ts', 'backoff.ts'];

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));

test('every file imports only what its room may', () => {
  const offences: string[] = [];
  for (const file of files) {
    const room = file.split('/')[0]!;
    const allowed = MAY_IMPORT[room];
    if (allowed === undefined) continue;
    for (const [, target] of readFileSync(join(SRC, file), 'utf8').matchAll(/from '(\.[^']+)'/g)) {
      const path = relative(SRC, join(SRC, dirname(file), target!));
      const other = path.split('/')[0]!;
      if (other !== room && !LEAVES.includes(path) && !allowed.includes(other))
        offences.push(`${file} imports ${path}`);
    }
  }
  expect(offences).toEqual([]);
});

test('no file is longer than 450 lines', () => {
  const long = files.filter((file) => readFileSync(join(SRC, file), 'utf8').split('\n').length > 450);
  expect(long).toEqual([]);
});

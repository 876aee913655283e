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
  testing: ['topology', 'state', 'serdes', 'runtime', 'kafka'],
  embedded: ['kafka', 'serdes'],
  schemas: [],
  producers: ['kafka', 'serdes', 'schemas'],
  settings: ['index.ts'],
  apps: ['index.ts', 'embedded', 'schemas', 'settings'],
  ops: ['index.ts', 'kafka', 'serdes', 'schemas', 'settings'],
};

const LEAVES = [
  'attempts.ts',
  'errors.ts',
  'logger.ts',
  'bytes.ts',
  'byte-views.ts',
  'headers.ts',
  'backoff.ts',
  'monotonic.ts',
];

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

/** Where a time of day is meant: timestamps of records and rows, punctuators, what kafkajs counts by it. */
const ASKS_THE_WALL_CLOCK = [
  'apps',
  'embedded/broker/clock.ts',
  'embedded/registry/schemas-topic.ts',
  'kafka/batch-sender.ts',
  'kafka/broker-connection.ts',
  'producers/record-encoder.ts',
  'runtime/commit/committer.ts',
  'runtime/restore/changelog-reader.ts',
  'runtime/stream-thread.ts',
  'testing/topology-test-driver.ts',
];

test('how long something lasts is measured by the monotonic clock', () => {
  const offences = files.filter(
    (file) =>
      /Date\.now|new Date\(\)/.test(readFileSync(join(SRC, file), 'utf8')) &&
      !ASKS_THE_WALL_CLOCK.some((place) => file.startsWith(place)),
  );
  expect(offences).toEqual(['monotonic.ts']);
});

test('no file is longer than 450 lines', () => {
  const long = files.filter((file) => readFileSync(join(SRC, file), 'utf8').split('\n').length > 450);
  expect(long).toEqual([]);
});

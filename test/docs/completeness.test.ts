/** The reference pages name what the code has, no less and no more. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { NUMERIC_OPTIONS, resolveOptions } from '../../src/runtime/options.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => [file, read(`src/${file}`)] as const);

test('docs/errors.md has every code that is thrown, and no other', () => {
  const thrown = new Set(sources.flatMap(([, text]) => text.match(/(?<=')MILLRACE_[A-Z_]+(?=')/g) ?? []));
  const documented = new Set(read('docs/errors.md').match(/(?<=`)MILLRACE_[A-Z_]+(?=`)/g) ?? []);
  expect([...documented].sort()).toEqual([...thrown].sort());
});

test('docs/options.md has every option with its default and Kafka’s name, and no other', () => {
  const rows = [...read('docs/options.md').matchAll(/^\| `(\w+)` \|\s*`?([\w.]*)`?\s*\| ([^|]+) \|/gm)];
  const resolved = resolveOptions({ applicationId: 'a', kafka: { brokers: ['a:1'] } });
  expect(rows.map(([, name]) => name).sort()).toEqual(Object.keys(resolved).sort());
  for (const option of NUMERIC_OPTIONS) {
    const row = rows.find(([, name]) => name === option.name)!;
    expect([option.name, row[2], Number(row[3])]).toEqual([option.name, option.kafkaName ?? '', option.default]);
  }
});

test('options that are out of range or contradict each other are all named', () => {
  const fault = {
    applicationId: 'a b',
    kafka: { brokers: ['a:1'] },
    commitIntervalMs: -1,
    heartbeatIntervalMs: 40_000,
  };
  expect(() => resolveOptions(fault)).toThrow(/applicationId.*commitIntervalMs.*heartbeatIntervalMs/);
});

/** schemas/: the newest version of each schema, the older ones in versions/, and what src/schemas/ is generated from. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { generateSchemas, schemaModule } from '../../src/ops/generate-schemas.ts';
import { temporaryFolder } from '../support/programs.ts';
import { SCHEMAS, versionTexts } from '../support/schema-versions.ts';

const GENERATED = join(import.meta.dirname, '../../src/schemas');
const names = readdirSync(SCHEMAS)
  .filter((file) => file.endsWith('.avsc'))
  .map((file) => basename(file, '.avsc'));

test('versions are numbered from 1, the newest is the schema itself, and no schema is without', () => {
  for (const name of names) {
    const texts = versionTexts(name);
    expect([name, texts.at(-1)]).toEqual([name, readFileSync(join(SCHEMAS, `${name}.avsc`), 'utf8')]);
    expect(new Set(texts).size).toBe(texts.length);
  }
  const expected = names.flatMap((name) => versionTexts(name).map((_, i) => `${name}-${i + 1}.avsc`));
  expect(readdirSync(join(SCHEMAS, 'versions')).sort()).toEqual(expected.sort());
});

test('src/schemas is what `npm run schemas` makes of schemas', async () => {
  expect(readdirSync(GENERATED).sort()).toEqual(names.map((name) => `${name}.ts`).sort());
  for (const name of names) {
    const file = join(GENERATED, `${name}.ts`);
    const text = schemaModule(`${name}.avsc`, readFileSync(join(SCHEMAS, `${name}.avsc`), 'utf8'));
    const [comment, constant] = text.split('\n');
    expect(readFileSync(file, 'utf8').split('\n').slice(0, 2)).toEqual([comment, constant]);
    const module = (await import(file)) as Record<string, unknown>;
    expect(Object.keys(module)).toEqual([/const (\w+)/.exec(text)![1]]);
    // Properties in the same order too: the text is what is registered.
    expect(JSON.stringify(Object.values(module)[0])).toBe(
      JSON.stringify(JSON.parse(readFileSync(join(SCHEMAS, `${name}.avsc`), 'utf8'))),
    );
  }
});

test('generating leaves versions alone', () => {
  const [from, to] = [temporaryFolder(), temporaryFolder()];
  mkdirSync(join(from, 'versions'));
  writeFileSync(join(from, 'a.avsc'), '"int"');
  writeFileSync(join(from, 'versions', 'a-1.avsc'), '"long"');
  expect(generateSchemas(from, to)).toEqual([join(to, 'a.ts')]);
  expect(readdirSync(to)).toEqual(['a.ts']);
  expect(readdirSync(from, { recursive: true, encoding: 'utf8' }).sort()).toEqual([
    'a.avsc',
    'versions',
    'versions/a-1.avsc',
  ]);
});

/** The command that registers schemas: what must hold on any registry. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SchemaRegistry } from '../../src/index.ts';
import { registerSchemas } from '../../src/ops/register-schemas.ts';
import { temporaryFolder } from './programs.ts';
import { SCHEMAS, versionTexts } from './schema-versions.ts';

const SUBJECTS = [
  'alerts-value',
  'anomalies-value',
  'metrics-aggregated-value',
  'metrics-value',
  'predictions-value',
  'remediations-value',
];

interface Field {
  readonly name: string;
  readonly type: unknown;
}

export interface Run {
  readonly status: number;
  readonly out: string;
  readonly error: string;
}

export async function run(url: string, args: readonly string[] = [], env: Record<string, string> = {}): Promise<Run> {
  const [out, error]: [string[], string[]] = [[], []];
  const status = await registerSchemas(
    args,
    { SCHEMA_REGISTRY_URL: url, ...env },
    { write: (text) => out.push(text) },
    { write: (text) => error.push(text) },
  );
  return { status, out: out.join(''), error: error.join('') };
}

/** The package's schemas, with the fields of Metric changed. */
export function folderWith(change: (fields: readonly Field[]) => readonly object[]): string {
  const folder = temporaryFolder();
  cpSync(SCHEMAS, folder, { recursive: true });
  const metric = JSON.parse(versionTexts('metric').at(-1)!) as { fields: Field[] };
  writeFileSync(join(folder, 'metric.avsc'), JSON.stringify({ ...metric, fields: change(metric.fields) }));
  return folder;
}

async function ask(url: string, path: string, method = 'GET', body?: object): Promise<unknown> {
  const headers = { 'content-type': 'application/vnd.schemaregistry.v1+json' };
  const answer = await fetch(`${url}${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
  return answer.json();
}

const versionsOf = (url: string, subject: string): Promise<unknown> => ask(url, `/subjects/${subject}/versions`);
const subjectsOf = async (url: string): Promise<string[]> => ((await ask(url, '/subjects')) as string[]).sort();

/** @param newRegistry the address of a registry without subjects */
export function registrationSuite(newRegistry: () => Promise<string>): void {
  test('an empty registry gets every schema under its topic, and the second time there is nothing to do', async () => {
    const url = await newRegistry();
    const dry = await run(url, ['--dry-run']);
    expect(dry).toMatchObject({ status: 0, out: expect.stringContaining('a dry run. To register: 6.') });
    expect(await subjectsOf(url)).toEqual([]);
    const first = await run(url);
    expect(first).toMatchObject({ status: 0, error: '', out: expect.stringContaining('Registered 6 of 6: ') });
    expect(first.out).toContain('metrics-value (metric.avsc): new\n');
    expect(await subjectsOf(url)).toEqual(SUBJECTS);
    // As the programs register it: the same id.
    const metric = JSON.stringify(JSON.parse(versionTexts('metric').at(-1)!));
    const { id } = (await new SchemaRegistry({ url }).lookUp('metrics-value', metric))!;
    const again = await run(url);
    expect(again).toMatchObject({ status: 0, out: expect.stringContaining('Nothing to do.') });
    expect(again.out).toContain(`metrics-value (metric.avsc): unchanged, version 1, id ${id}\n`);
    expect(await versionsOf(url, 'metrics-value')).toEqual([1]);
  });

  test('where there is an older version it is told what is new, and the newest is registered', async () => {
    const url = await newRegistry();
    await new SchemaRegistry({ url }).idOf('metrics-value', versionTexts('metric')[0]!);
    const { status, out } = await run(url);
    expect(out).toContain(
      'metrics-value (metric.avsc): changed since version 1\n  the field environment is new, with the default null\n',
    );
    expect(status).toBe(0);
    expect(await versionsOf(url, 'metrics-value')).toEqual([1, 2]);
    const latest = await new SchemaRegistry({ url }).latest('metrics-value');
    expect(JSON.parse(latest!.schema)).toEqual(JSON.parse(versionTexts('metric').at(-1)!));
  });

  test('all versions are registered in their order where the subject has nothing', async () => {
    const url = await newRegistry();
    const { status, out } = await run(url, ['--all-versions']);
    expect(out).toContain('metrics-value (metric.avsc): new, 2 versions\n');
    expect(status).toBe(0);
    expect(await versionsOf(url, 'metrics-value')).toEqual([1, 2]);
    expect(await versionsOf(url, 'alerts-value')).toEqual([1]);
    expect(await run(url, ['--all-versions'])).toMatchObject({ status: 0, out: expect.stringContaining('Nothing to') });
  });

  test('an incompatible change is refused in words, and nothing at all is registered', async () => {
    const url = await newRegistry();
    await new SchemaRegistry({ url }).idOf('metrics-value', versionTexts('metric').at(-1)!);
    const folder = folderWith((fields) => [
      ...fields
        .filter(({ name }) => name !== 'labels')
        .map((one) => (one.name === 'value' ? { ...one, type: 'string' } : one)),
      { name: 'region', type: 'string' },
    ]);
    const { status, out, error } = await run(url, [folder]);
    expect([status, error]).toEqual([1, '']);
    expect(out).toContain(`metrics-value (metric.avsc): WOULD BREAK: not compatible with version 1
  consumers with the new schema cannot read old records:
    the field value was double and is string now
    the field region is new, and has no default
  consumers with the old schema cannot read new records:
    the field value was double and is string now
    the field labels is gone, and the old schema has no default for it
`);
    expect(out).toContain('Nothing was registered: 1 of 6 subjects would break.');
    // The others are told as well, and not registered either.
    expect(out).toContain('alerts-value (alert.avsc): new\n');
    expect(await subjectsOf(url)).toEqual(['metrics-value']);
    expect(await versionsOf(url, 'metrics-value')).toEqual([1]);
  });

  test('a field that is gone breaks consumers that are not upgraded, unless they are said to be first', async () => {
    const url = await newRegistry();
    await run(url);
    const folder = folderWith((fields) => fields.filter(({ name }) => name !== 'labels'));
    const refused = await run(url, [folder]);
    expect(refused).toMatchObject({ status: 1, out: expect.stringContaining('--compatibility BACKWARD') });
    expect(refused.out).toContain('the field labels is gone, and the old schema has no default for it');
    expect(await versionsOf(url, 'metrics-value')).toEqual([1]);
    expect((await run(url, [folder, '--compatibility', 'backward'])).status).toBe(0);
    expect(await versionsOf(url, 'metrics-value')).toEqual([1, 2]);
  });

  test('what the registry’s level forbids is refused before anything is registered', async () => {
    const url = await newRegistry();
    await new SchemaRegistry({ url }).idOf('metrics-value', versionTexts('metric').at(-1)!);
    await ask(url, '/config/metrics-value', 'PUT', { compatibility: 'FULL' });
    const folder = folderWith((fields) => fields.filter(({ name }) => name !== 'labels'));
    const { status, out } = await run(url, [folder, '--compatibility', 'NONE']);
    expect([status, await subjectsOf(url)]).toEqual([1, ['metrics-value']]);
    expect(out).toContain('  the registry would refuse it:\n    ');
  });

  test('for machines: one object with everything', async () => {
    const url = await newRegistry();
    await new SchemaRegistry({ url }).idOf('metrics-value', versionTexts('metric')[0]!);
    const { status, out } = await run(url, ['--json']);
    const { dryRun, subjects, registered } = JSON.parse(out) as {
      dryRun: boolean;
      subjects: { subject: string }[];
      registered: { subject: string; id: number }[];
    };
    expect([status, dryRun, subjects.length]).toEqual([0, false, 6]);
    expect(subjects.find(({ subject }) => subject === 'metrics-value')).toEqual({
      subject: 'metrics-value',
      file: 'metric.avsc',
      state: 'changed',
      registered: { version: 1, id: expect.any(Number) },
      latestVersion: 1,
      harmless: ['the field environment is new, with the default null'],
      newCannotReadOld: [],
      oldCannotReadNew: [],
      registrySays: [],
      toRegister: ['metric.avsc'],
    });
    expect(registered.map(({ subject }) => subject).sort()).toEqual(SUBJECTS);
    expect(registered.every(({ id }) => Number.isInteger(id))).toBe(true);
  });
}

/** A folder of other schemas. */
export function folderOf(files: Readonly<Record<string, unknown>>): string {
  const folder = temporaryFolder();
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(join(folder, file, '..'), { recursive: true });
    writeFileSync(join(folder, file), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return folder;
}

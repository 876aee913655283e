/**
 * A folder of schemas: `<name>.avsc` is the newest version of each, `versions/<name>-<N>.avsc` every version, numbered from
 * 1, and `topics.json` names the topic of each by its name.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../errors.ts';
import { type AvroNode, parseSchema } from '../serdes/avro-schema.ts';
import { ConfigurationError } from '../settings/environment.ts';

/** The package's own. */
export const OWN_SCHEMAS = fileURLToPath(new URL('../../schemas', import.meta.url));

/** One version of a schema. */
export interface SchemaText {
  /** Below the folder. */
  readonly file: string;
  /** As it is registered: without needless space, as the serdes register it. */
  readonly text: string;
  readonly type: AvroNode;
}

export interface FolderSchema {
  readonly topic: string;
  readonly newest: SchemaText;
  /** Every version, the newest last. */
  readonly versions: readonly SchemaText[];
}

/** @throws ConfigurationError: no folder, no schemas in it, one that is none, or that has no topic of its own */
export function readSchemaFolder(folder: string): FolderSchema[] {
  const names = filesOf(folder)
    .filter((file) => file.endsWith('.avsc'))
    .map((file) => basename(file, '.avsc'))
    .sort();
  if (names.length === 0) throw new ConfigurationError(`There are no .avsc files in ${folder}.`);
  const topics = topicsOf(folder);
  const used = new Map<unknown, string>();
  return names.map((name) => {
    const topic = topics[name];
    const other = used.get(topic);
    if (topic !== undefined && other !== undefined)
      throw new ConfigurationError(
        `${name}.avsc and ${other}.avsc have one topic, ${topic}: a subject has one schema.`,
      );
    used.set(topic, name);
    if (typeof topic !== 'string' || topic === '')
      throw new ConfigurationError(
        `${name}.avsc has no topic. Name it in ${join(folder, 'topics.json')}: { "${name}": "<topic>" }.`,
      );
    const newest = readSchema(folder, `${name}.avsc`);
    return { topic, newest, versions: versionsOf(folder, name, newest) };
  });
}

/** What is in versions/, and the newest where it is not there yet. */
function versionsOf(folder: string, name: string, newest: SchemaText): SchemaText[] {
  const numbered = (existsSync(join(folder, 'versions')) ? filesOf(join(folder, 'versions')) : []).flatMap((file) => {
    const [, stem, number] = /^(.+)-(\d+)\.avsc$/.exec(file) ?? [];
    return stem === name ? [{ number: Number(number), file: join('versions', file) }] : [];
  });
  const versions = numbered.sort((a, b) => a.number - b.number).map(({ file }) => readSchema(folder, file));
  return versions.at(-1)?.text === newest.text ? versions : [...versions, newest];
}

function topicsOf(folder: string): Readonly<Record<string, unknown>> {
  const own = join(folder, 'topics.json');
  const file = existsSync(own) ? own : join(OWN_SCHEMAS, 'topics.json');
  const topics = readJson(file);
  if (typeof topics !== 'object' || topics === null || Array.isArray(topics))
    throw new ConfigurationError(`${file} must be an object of schemas and their topics.`);
  return topics as Record<string, unknown>;
}

function readSchema(folder: string, file: string): SchemaText {
  const path = join(folder, file);
  const schema = readJson(path);
  try {
    return { file, text: JSON.stringify(schema), type: parseSchema(schema) };
  } catch (error) {
    throw new ConfigurationError(`${path}: ${messageOf(error)}`);
  }
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new ConfigurationError(`${path} cannot be read: ${messageOf(error)}.`);
  }
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    throw new ConfigurationError(`The folder ${folder} cannot be read: ${messageOf(error)}.`);
  }
}

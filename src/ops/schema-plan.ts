/**
 * What registering a folder's schemas would do to a registry: asked and compared, nothing changed. A change breaks where the
 * registry refuses it by the subject's level, and where it is not compatible in the directions that are demanded here:
 * registries check one direction unless told otherwise, some none, and while a change is rolled out there are consumers with
 * both schemas.
 */
import { messageOf } from '../errors.ts';
import { type RegisteredSchema, type SchemaRegistry, SerdeError } from '../index.ts';
import { type SchemaChanges, schemaChanges } from '../serdes/avro-changes.ts';
import { type AvroNode, parseSchema } from '../serdes/avro-schema.ts';
import type { FolderSchema, SchemaText } from './schema-folder.ts';

export const LEVELS = ['NONE', 'BACKWARD', 'FORWARD', 'FULL'] as const;

/** BACKWARD: new consumers read old records; FORWARD: old ones read new records; FULL: both. */
export type Level = (typeof LEVELS)[number];

export interface PlannedSubject extends SchemaChanges {
  readonly subject: string;
  /** Below the folder. */
  readonly file: string;
  /** Changed: compatible with what is there. Breaks: not. */
  readonly state: 'new' | 'changed' | 'unchanged' | 'breaks';
  /** What the subject has: this schema where it is unchanged, else the last one. */
  readonly registered: RegisteredSchema | undefined;
  /** The subject's last; 0: it has none. */
  readonly latestVersion: number;
  /** Why the registry would refuse it, in its words. */
  readonly registrySays: readonly string[];
  /** What is to be registered, in this order. */
  readonly toRegister: readonly SchemaText[];
}

export interface PlanOptions {
  readonly level: Level;
  /** Register older versions first where a subject has nothing. */
  readonly allVersions: boolean;
  /** Ends the wait for a registry that is away; called for each request. */
  readonly signal: () => AbortSignal;
}

/** @throws RegistryError */
export async function planSubject(
  registry: SchemaRegistry,
  schema: FolderSchema,
  { level, allVersions, signal }: PlanOptions,
): Promise<PlannedSubject> {
  const { newest } = schema;
  const subject = `${schema.topic}-value`;
  const latest = await registry.latest(subject, signal());
  const about = { subject, file: newest.file, latestVersion: latest?.version ?? 0 };
  if (latest === undefined) {
    const toRegister = allVersions ? schema.versions : [newest];
    const changes = changesBetween(toRegister);
    const state = isBreaking(changes, level) ? 'breaks' : 'new';
    return { ...about, ...changes, state, registered: undefined, registrySays: [], toRegister };
  }
  const known = await registry.lookUp(subject, newest.text, signal());
  if (known !== undefined)
    return { ...about, ...NO_CHANGES, state: 'unchanged', registered: known, registrySays: [], toRegister: [] };
  const changes = changesSince(latest, newest.type);
  const registrySays = await registry.incompatibilities(subject, newest.text, signal());
  const state = registrySays.length > 0 || isBreaking(changes, level) ? 'breaks' : 'changed';
  return { ...about, ...changes, state, registered: latest, registrySays, toRegister: [newest] };
}

const NO_CHANGES: SchemaChanges = { harmless: [], newCannotReadOld: [], oldCannotReadNew: [] };

function isBreaking({ newCannotReadOld, oldCannotReadNew }: SchemaChanges, level: Level): boolean {
  const backward = level === 'BACKWARD' || level === 'FULL';
  const forward = level === 'FORWARD' || level === 'FULL';
  return (backward && newCannotReadOld.length > 0) || (forward && oldCannotReadNew.length > 0);
}

/** From each version to the next. */
function changesBetween(versions: readonly SchemaText[]): SchemaChanges {
  const steps = versions.slice(1).map((version, i) => schemaChanges(versions[i]!.type, version.type));
  return {
    harmless: steps.flatMap(({ harmless }) => harmless),
    newCannotReadOld: steps.flatMap(({ newCannotReadOld }) => newCannotReadOld),
    oldCannotReadNew: steps.flatMap(({ oldCannotReadNew }) => oldCannotReadNew),
  };
}

function changesSince({ version, schema }: RegisteredSchema, now: AvroNode): SchemaChanges {
  let old: AvroNode;
  try {
    old = parseSchema(JSON.parse(schema));
  } catch (error) {
    // What a parser says of JSON quotes it.
    const why = error instanceof SerdeError ? messageOf(error) : 'it is not JSON';
    const what = `version ${version} of the subject is no Avro schema to compare with (${why})`;
    return { harmless: [], newCannotReadOld: [what], oldCannotReadNew: [what] };
  }
  return schemaChanges(old, now);
}

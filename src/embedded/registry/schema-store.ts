/**
 * Subjects, versions, ids, levels and modes: what a registry knows. Changes are events, the records of `_schemas` in the
 * Confluent registry's form; the state is what the events make.
 */
import { type ParsedSchema, parseSchema } from './avro-schema.ts';
import { type CompatibilityLevel, incompatibilities } from './compatibility.ts';
import { RegistryFault, schemaNotFound, subjectNotFound, versionNotFound } from './registry-fault.ts';

export const MODES = ['READWRITE', 'READONLY', 'READONLY_OVERRIDE', 'IMPORT'] as const;
export type Mode = (typeof MODES)[number];

export interface RegistryEvent {
  readonly key:
    | { readonly keytype: 'SCHEMA'; readonly subject: string; readonly version: number; readonly magic: 1 }
    | { readonly keytype: 'CONFIG' | 'MODE'; readonly subject: string | null; readonly magic: 0 };
  /** Null deletes. */
  readonly value: Readonly<Record<string, unknown>> | null;
}

export interface SchemaVersion {
  readonly subject: string;
  readonly version: number;
  readonly id: number;
  readonly schema: string;
}

interface StoredVersion extends SchemaVersion {
  readonly deleted: boolean;
}

/** Writes events where they are kept, in order; the state changes once they are there. */
export type AppendEvents = (events: readonly RegistryEvent[]) => Promise<void>;

export class SchemaStore {
  readonly #append: AppendEvents;
  /** By subject, then version. */
  readonly #subjects = new Map<string, Map<number, StoredVersion>>();
  readonly #texts = new Map<number, string>();
  readonly #ids = new Map<string, number>();
  readonly #parsed = new Map<number, ParsedSchema>();
  readonly #levels = new Map<string | null, CompatibilityLevel>();
  readonly #modes = new Map<string | null, Mode>();
  #lastId = 0;
  /** Changes one after the other: two registrations must not take the same id. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(append: AppendEvents) {
    this.#append = append;
  }

  /** Takes an event over that is kept already. */
  apply({ key, value }: RegistryEvent): void {
    if (key.keytype === 'CONFIG') set(this.#levels, key.subject, value?.['compatibilityLevel'] as CompatibilityLevel);
    else if (key.keytype === 'MODE') set(this.#modes, key.subject, value?.['mode'] as Mode);
    else if (key.keytype === 'SCHEMA') this.#applySchema(key.subject, key.version, value as StoredVersion | null);
  }

  subjects(prefix = '', deleted = false): string[] {
    return [...this.#subjects.keys()]
      .filter((subject) => subject.startsWith(prefix) && this.#versionsOf(subject, deleted).length > 0)
      .sort();
  }

  /** @throws RegistryFault 40401 */
  versions(subject: string, deleted = false): number[] {
    const versions = this.#versionsOf(subject, deleted);
    if (versions.length === 0) throw subjectNotFound(subject);
    return versions.map(({ version }) => version);
  }

  /** @throws RegistryFault 40401, 40402, 42202 */
  version(subject: string, wanted: string, deleted = false): SchemaVersion {
    const versions = this.#versionsOf(subject, deleted);
    if (versions.length === 0) throw subjectNotFound(subject);
    const found = this.#select(versions, wanted);
    if (found === undefined) throw versionNotFound(wanted);
    return found;
  }

  /** @throws RegistryFault 40403 */
  byId(id: number): string {
    const text = this.#texts.get(id);
    if (text === undefined) throw schemaNotFound(id);
    return text;
  }

  /** Where a schema is used. */
  usesOf(id: number, deleted = false): SchemaVersion[] {
    this.byId(id);
    return this.#all(deleted).filter((version) => version.id === id);
  }

  list(prefix: string, latestOnly: boolean, deleted: boolean): SchemaVersion[] {
    return this.subjects(prefix, deleted).flatMap((subject) => {
      const versions = this.#versionsOf(subject, deleted);
      return latestOnly ? versions.slice(-1) : versions;
    });
  }

  /** The schema under a subject. @throws RegistryFault 40401, 40403, 42201 */
  lookUp(subject: string, text: string, deleted = false): SchemaVersion {
    const { identity } = parseSchema(text);
    if (this.#versionsOf(subject, deleted).length === 0) throw subjectNotFound(subject);
    const id = this.#ids.get(identity);
    const found = this.#versionsOf(subject, deleted).find((version) => version.id === id);
    if (found === undefined) throw schemaNotFound();
    return found;
  }

  /** @returns the id; the one it had where it is there already. @throws RegistryFault 409, 42201, 42205 */
  register(subject: string, text: string): Promise<number> {
    return this.#inTurn(async () => {
      const parsed = parseSchema(text);
      const known = this.#ids.get(parsed.identity);
      const versions = this.#versionsOf(subject, false);
      if (known !== undefined && versions.some(({ id }) => id === known)) return known;
      this.#checkWritable(subject);
      const level = this.level(subject);
      const faults = incompatibilities(level, parsed, versions.map(this.#parse));
      if (faults.length > 0) {
        throw new RegistryFault(
          409,
          409,
          `Schema being registered is incompatible with an earlier schema for subject "${subject}", compatibility ${level}: ${faults.join('; ')}`,
        );
      }
      const id = known ?? this.#lastId + 1;
      const version = Math.max(0, ...this.#versionsOf(subject, true).map((one) => one.version)) + 1;
      await this.#write(schemaEvent({ subject, version, id, schema: parsed.text, deleted: false }));
      return id;
    });
  }

  /** @param wanted a version, or undefined: all that the level asks for. @throws RegistryFault 40402, 42201, 42202 */
  compatibility(subject: string, wanted: string | undefined, text: string): string[] {
    const parsed = parseSchema(text);
    const versions = this.#versionsOf(subject, false);
    if (wanted === undefined) return incompatibilities(this.level(subject), parsed, versions.map(this.#parse));
    const found = this.#select(versions, wanted);
    if (found === undefined && wanted !== 'latest') throw versionNotFound(wanted);
    const against = found === undefined ? [] : [this.#parse(found)];
    return incompatibilities(this.level(subject), parsed, against);
  }

  /** @throws RegistryFault 40401, 40404, 40405 */
  deleteSubject(subject: string, permanent: boolean): Promise<number[]> {
    return this.#inTurn(async () => {
      const all = this.#versionsOf(subject, true);
      if (all.length === 0) throw subjectNotFound(subject);
      this.#checkWritable(subject);
      const live = all.filter(({ deleted }) => !deleted);
      if (permanent) {
        if (live.length > 0) {
          throw new RegistryFault(
            404,
            40405,
            `Subject '${subject}' was not deleted first before being permanently deleted`,
          );
        }
        await this.#write(...all.map(removedEvent));
        return all.map(({ version }) => version);
      }
      if (live.length === 0) {
        throw new RegistryFault(
          404,
          40404,
          `Subject '${subject}' was soft deleted.Set permanent=true to delete permanently`,
        );
      }
      await this.#write(...live.map((version) => schemaEvent({ ...version, deleted: true })));
      return live.map(({ version }) => version);
    });
  }

  /** @throws RegistryFault 40401, 40402, 40406, 40407 */
  deleteVersion(subject: string, wanted: string, permanent: boolean): Promise<number> {
    return this.#inTurn(async () => {
      const all = this.#versionsOf(subject, true);
      if (all.length === 0) throw subjectNotFound(subject);
      const found = this.#select(wanted === 'latest' ? all.filter(({ deleted }) => !deleted) : all, wanted);
      if (found === undefined) throw versionNotFound(wanted);
      this.#checkWritable(subject);
      const { version, deleted } = found;
      if (permanent && !deleted) {
        throw new RegistryFault(
          404,
          40407,
          `Subject '${subject}' Version ${version} was not deleted first before being permanently deleted`,
        );
      }
      if (!permanent && deleted) {
        throw new RegistryFault(
          404,
          40406,
          `Subject '${subject}' Version ${version} was soft deleted.Set permanent=true to delete permanently`,
        );
      }
      await this.#write(permanent ? removedEvent(found) : schemaEvent({ ...found, deleted: true }));
      return version;
    });
  }

  /** The subject's level, else the global one, else BACKWARD. */
  level(subject: string | null): CompatibilityLevel {
    return this.#levels.get(subject) ?? this.#levels.get(null) ?? 'BACKWARD';
  }

  ownLevel(subject: string | null): CompatibilityLevel | undefined {
    return this.#levels.get(subject);
  }

  setLevel(subject: string | null, level: CompatibilityLevel | null): Promise<void> {
    const value = level === null ? null : { compatibilityLevel: level };
    return this.#inTurn(() => this.#write({ key: { keytype: 'CONFIG', subject, magic: 0 }, value }));
  }

  mode(subject: string | null): Mode {
    return this.#modes.get(subject) ?? this.#modes.get(null) ?? 'READWRITE';
  }

  ownMode(subject: string | null): Mode | undefined {
    return this.#modes.get(subject);
  }

  setMode(subject: string | null, mode: Mode | null): Promise<void> {
    const value = mode === null ? null : { mode };
    return this.#inTurn(() => this.#write({ key: { keytype: 'MODE', subject, magic: 0 }, value }));
  }

  #applySchema(subject: string, version: number, value: StoredVersion | null): void {
    let versions = this.#subjects.get(subject);
    if (versions === undefined) this.#subjects.set(subject, (versions = new Map()));
    if (value === null) {
      versions.delete(version);
      return;
    }
    const { id, schema, deleted } = value;
    versions.set(version, { subject, version, id, schema, deleted: deleted === true });
    this.#lastId = Math.max(this.#lastId, id);
    if (this.#texts.has(id)) return;
    const parsed = parseSchema(schema);
    this.#texts.set(id, schema);
    this.#ids.set(parsed.identity, id);
    this.#parsed.set(id, parsed);
  }

  #versionsOf(subject: string, deleted: boolean): StoredVersion[] {
    return [...(this.#subjects.get(subject)?.values() ?? [])]
      .filter((version) => deleted || !version.deleted)
      .sort((a, b) => a.version - b.version);
  }

  #all(deleted: boolean): StoredVersion[] {
    return [...this.#subjects.keys()].sort().flatMap((subject) => this.#versionsOf(subject, deleted));
  }

  /** @throws RegistryFault 42202 */
  #select(versions: readonly StoredVersion[], wanted: string): StoredVersion | undefined {
    if (wanted === 'latest' || wanted === '-1') return versions.at(-1);
    const number = Number(wanted);
    if (!/^\d+$/.test(wanted) || number < 1 || number > 2 ** 31 - 1) {
      throw new RegistryFault(
        422,
        42202,
        `The specified version '${wanted}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string "latest"`,
      );
    }
    return versions.find(({ version }) => version === number);
  }

  readonly #parse = ({ id }: SchemaVersion): ParsedSchema => this.#parsed.get(id)!;

  #checkWritable(subject: string): void {
    if (this.mode(subject).startsWith('READONLY'))
      throw new RegistryFault(422, 42205, `Subject ${subject} is in read-only mode`);
  }

  async #write(...events: readonly RegistryEvent[]): Promise<void> {
    await this.#append(events);
    for (const event of events) this.apply(event);
  }

  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(step, step);
    this.#turn = next.catch(() => undefined);
    return next;
  }
}

function schemaEvent(value: StoredVersion): RegistryEvent {
  const { subject, version } = value;
  return { key: { keytype: 'SCHEMA', subject, version, magic: 1 }, value: { ...value } };
}

function removedEvent({ subject, version }: SchemaVersion): RegistryEvent {
  return { key: { keytype: 'SCHEMA', subject, version, magic: 1 }, value: null };
}

function set<T>(map: Map<string | null, T>, key: string | null, value: T | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

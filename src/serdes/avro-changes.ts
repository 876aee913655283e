/**
 * What a new version of a schema changes, in words, and whom it breaks: by the rules of resolution (avro-resolution.ts), and
 * stricter where these leave it to the record. A branch of a union or a symbol that the other side lacks breaks here, since
 * some record may have it.
 */
import { within } from './avro-code.ts';
import { fieldPairs, hasName, Resolution } from './avro-resolution.ts';
import { type AvroField, type AvroNode, defaultOf, isRecord, nameOf } from './avro-schema.ts';

/** Sentences without a full stop, which name the field by its path. */
export interface SchemaChanges {
  /** What breaks nobody. */
  readonly harmless: readonly string[];
  /** Why consumers with the new schema cannot read records of the old one; empty: they can. */
  readonly newCannotReadOld: readonly string[];
  /** Why consumers with the old schema cannot read records of the new one; empty: they can. */
  readonly oldCannotReadNew: readonly string[];
}

export function schemaChanges(old: AvroNode, now: AvroNode): SchemaChanges {
  const comparison = new Comparison();
  comparison.compare(old, now, '');
  const { harmless, newCannotReadOld, oldCannotReadNew } = comparison;
  return { harmless: [...harmless], newCannotReadOld: [...newCannotReadOld], oldCannotReadNew: [...oldCannotReadNew] };
}

class Comparison {
  readonly harmless = new Set<string>();
  readonly newCannotReadOld = new Set<string>();
  readonly oldCannotReadNew = new Set<string>();
  readonly #resolution = new Resolution();
  /** Pairs that were begun, and for whom (1 new consumers, 2 old ones): a type within itself ends here. */
  readonly #begun = new Map<AvroNode, Map<AvroNode, number>>();
  #asksNew = true;
  #asksOld = true;

  compare(old: AvroNode, now: AvroNode, path: string): void {
    if (old.types !== undefined || now.types !== undefined)
      this.#compareBranches(old.types ?? [old], now.types ?? [now], path);
    else if (isRecord(old) && isRecord(now)) this.#compareRecords(old, now, path);
    else if (old.typeName === 'enum' && now.typeName === 'enum') this.#compareEnums(old, now, path);
    else if (old.typeName === 'array' && now.typeName === 'array')
      this.compare(old.itemsType!, now.itemsType!, `${path}[]`);
    else if (old.typeName === 'map' && now.typeName === 'map')
      this.compare(old.valuesType!, now.valuesType!, `${path}{}`);
    else if (described(old) !== described(now) || !this.#reads(old, now)) {
      const what = `${where(path)} was ${described(old)} and is ${described(now)} now`;
      this.#say(what, this.#reads(old, now), this.#reads(now, old));
    }
  }

  /** Of unions, or of a union and a type that is none. */
  #compareBranches(old: readonly AvroNode[], now: readonly AvroNode[], path: string): void {
    for (const branch of old) {
      const same = now.find((other) => isSame(branch, other));
      if (same !== undefined) this.compare(branch, same, path);
      else {
        const isRead = this.#resolution.branchFor(branch, now) !== undefined;
        this.#say(`${where(path)} can no longer be ${described(branch)}`, isRead, true);
      }
    }
    for (const branch of now) {
      if (old.some((other) => isSame(other, branch))) continue;
      const isRead = this.#resolution.branchFor(branch, old) !== undefined;
      this.#say(`${where(path)} can be ${described(branch)} now`, true, isRead);
    }
  }

  #compareRecords(old: AvroNode, now: AvroNode, path: string): void {
    const begun = this.#begun.get(old) ?? new Map<AvroNode, number>();
    const asked = (this.#asksNew ? 1 : 0) | (this.#asksOld ? 2 : 0);
    const before = begun.get(now) ?? 0;
    if ((before | asked) === before) return;
    this.#begun.set(old, begun.set(now, before | asked));
    this.#compareNames('record', old, now, path);
    /** Where new consumers find what was, and where old ones find it: aliases may be on one side only. */
    const byNew = fieldPairs(old, now);
    const byOld = new Map([...fieldPairs(now, old)].map(([from, to]) => [to, from]));
    for (const field of old.fields!) this.#compareField(field, byNew.get(field), byOld.get(field), path);
    const known = new Set([...byNew.values(), ...byOld.values()]);
    for (const field of now.fields!) {
      if (known.has(field)) continue;
      const standIn = defaultOf(field);
      const why = standIn === undefined ? 'and has no default' : `with the default ${JSON.stringify(standIn)}`;
      this.#say(`the field ${within(path, field.name)} is new, ${why}`, standIn !== undefined, true);
    }
  }

  /** @param byNew the field that new consumers read it as @param byOld the field that old consumers read as it */
  #compareField(field: AvroField, byNew: AvroField | undefined, byOld: AvroField | undefined, path: string): void {
    const oldReads = byOld !== undefined || field.defaultValue() !== undefined;
    const missed = oldReads ? '' : ', and the old schema has no default for it';
    const name = `the field ${within(path, field.name)}`;
    const next = byNew ?? byOld;
    if (next === undefined) {
      this.#say(`${name} is gone${missed}`, true, oldReads);
      return;
    }
    if (next.name !== field.name) {
      const isRead = byNew !== undefined || next.defaultValue() !== undefined;
      const why = isRead ? missed : ', which has neither an alias nor a default';
      this.#say(`${name} is named ${next.name} now${why}`, isRead, oldReads);
    }
    const place = within(path, next.name);
    if (byNew === byOld) this.compare(field.type, next.type, place);
    else {
      if (byNew !== undefined) this.#compareFor('new', field.type, byNew.type, place);
      if (byOld !== undefined) this.#compareFor('old', field.type, byOld.type, place);
    }
    this.#compareDefaults(field, next, place);
  }

  /** For one kind of consumers: the others take a default. */
  #compareFor(readers: 'new' | 'old', old: AvroNode, now: AvroNode, path: string): void {
    const [asksNew, asksOld] = [this.#asksNew, this.#asksOld];
    this.#asksNew &&= readers === 'new';
    this.#asksOld &&= readers === 'old';
    this.compare(old, now, path);
    this.#asksNew = asksNew;
    this.#asksOld = asksOld;
  }

  #compareDefaults(old: AvroField, now: AvroField, path: string): void {
    const [before, after] = [JSON.stringify(defaultOf(old)), JSON.stringify(defaultOf(now))];
    if (before === after) return;
    const what = after === undefined ? 'has no default any more' : `has the default ${after} now`;
    this.#say(`the field ${path} ${what}`, true, true);
  }

  #compareEnums(old: AvroNode, now: AvroNode, path: string): void {
    this.#compareNames('enum', old, now, path);
    const lost = old.symbols!.filter((symbol) => !now.symbols!.includes(symbol));
    const added = now.symbols!.filter((symbol) => !old.symbols!.includes(symbol));
    if (lost.length > 0)
      this.#say(`${where(path)} can no longer be ${lost.join(', ')}`, now.default !== undefined, true);
    if (added.length > 0) this.#say(`${where(path)} can be ${added.join(', ')} now`, true, old.default !== undefined);
  }

  #compareNames(kind: string, old: AvroNode, now: AvroNode, path: string): void {
    if (nameOf(old) === nameOf(now)) return;
    const place = path === '' ? '' : ` of the field ${path}`;
    this.#say(`the ${kind} ${nameOf(old)}${place} is named ${nameOf(now)} now`, hasName(old, now), hasName(now, old));
  }

  #reads(writer: AvroNode, reader: AvroNode): boolean {
    return this.#resolution.mismatch(writer, reader) === undefined;
  }

  #say(what: string, newReadsOld: boolean, oldReadsNew: boolean): void {
    const breaksNew = this.#asksNew && !newReadsOld;
    const breaksOld = this.#asksOld && !oldReadsNew;
    if (breaksNew) this.newCannotReadOld.add(what);
    if (breaksOld) this.oldCannotReadNew.add(what);
    if (!breaksNew && !breaksOld) this.harmless.add(what);
  }
}

/** Branches that are one type: of named ones the names decide. */
function isSame(old: AvroNode, now: AvroNode): boolean {
  const isOneKind = old.typeName === now.typeName || (isRecord(old) && isRecord(now));
  return isOneKind && (hasName(old, now) || hasName(now, old));
}

function described({ typeName, name, size }: AvroNode): string {
  if (size !== undefined) return `the fixed ${name} of ${size} bytes`;
  return name === undefined ? typeName : `the ${typeName} ${name}`;
}

function where(path: string): string {
  return path === '' ? 'the value' : `the field ${path}`;
}

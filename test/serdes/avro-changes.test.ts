import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteWriter } from '../../src/bytes.ts';
import type { AvroNode as RegistryNode } from '../../src/embedded/registry/avro-schema.ts';
import { cannotRead } from '../../src/embedded/registry/compatibility.ts';
import { schemaChanges } from '../../src/serdes/avro-changes.ts';
import { compileAvroReader } from '../../src/serdes/avro-reader.ts';
import { parseSchema } from '../../src/serdes/avro-schema.ts';
import { compileAvroWriter } from '../../src/serdes/avro-writer.ts';
import { evolved, randomSchema, randomValue } from '../support/avro/schemas.ts';
import { random } from '../support/metrics.ts';

const field = (name: string, type: unknown, more: object = {}): object => ({ name, type, ...more });
const record = (...fields: readonly object[]): unknown => ({ type: 'record', name: 'M', fields });
const value = field('value', 'double');
const e = (symbols: readonly string[], more: object = {}): unknown => ({ type: 'enum', name: 'E', symbols, ...more });

interface Expected {
  readonly harmless?: readonly string[];
  readonly newCannotReadOld?: readonly string[];
  readonly oldCannotReadNew?: readonly string[];
}

const both = (what: string): Expected => ({ newCannotReadOld: [what], oldCannotReadNew: [what] });

describe('in words', () => {
  test.each<[string, unknown, unknown, Expected]>([
    ['nothing', record(value), record(value), {}],
    [
      'a field with a default',
      record(value),
      record(value, field('unit', ['null', 'string'], { default: null })),
      { harmless: ['the field unit is new, with the default null'] },
    ],
    [
      'a field without',
      record(value),
      record(value, field('unit', 'string')),
      { newCannotReadOld: ['the field unit is new, and has no default'] },
    ],
    [
      'a field that is gone',
      record(value, field('unit', 'string')),
      record(value),
      { oldCannotReadNew: ['the field unit is gone, and the old schema has no default for it'] },
    ],
    [
      'a field that is gone and had a default',
      record(value, field('unit', 'string', { default: '' })),
      record(value),
      { harmless: ['the field unit is gone'] },
    ],
    [
      'another type',
      record(value),
      record(field('value', 'string')),
      both('the field value was double and is string now'),
    ],
    [
      'a wider number',
      record(field('value', 'int')),
      record(value),
      { oldCannotReadNew: ['the field value was int and is double now'] },
    ],
    [
      'text as bytes',
      record(field('x', 'string')),
      record(field('x', 'bytes')),
      { harmless: ['the field x was string and is bytes now'] },
    ],
    [
      'null comes',
      record(field('x', 'string')),
      record(field('x', ['null', 'string'])),
      { oldCannotReadNew: ['the field x can be null now'] },
    ],
    [
      'null goes',
      record(field('x', ['null', 'string'])),
      record(field('x', 'string')),
      { newCannotReadOld: ['the field x can no longer be null'] },
    ],
    [
      'a branch that another takes over',
      record(field('x', ['null', 'int'])),
      record(field('x', ['null', 'double'])),
      {
        harmless: ['the field x can no longer be int'],
        oldCannotReadNew: ['the field x can be double now'],
      },
    ],
    [
      'symbols',
      record(field('level', e(['A', 'B']))),
      record(field('level', e(['B', 'C', 'D']))),
      {
        newCannotReadOld: ['the field level can no longer be A'],
        oldCannotReadNew: ['the field level can be C, D now'],
      },
    ],
    [
      'symbols, with a default',
      record(field('level', e(['A', 'B'], { default: 'B' }))),
      record(field('level', e(['B', 'C'], { default: 'B' }))),
      { harmless: ['the field level can no longer be A', 'the field level can be C now'] },
    ],
    [
      'a name with an alias',
      record(field('old', 'int')),
      record(field('new', 'int', { aliases: ['old'] })),
      { oldCannotReadNew: ['the field old is named new now, and the old schema has no default for it'] },
    ],
    [
      'the record’s name',
      record(value),
      { ...(record(value) as object), name: 'N' },
      both('the record M is named N now'),
    ],
    [
      'the record’s namespace',
      record(value),
      { ...(record(value) as object), namespace: 'n' },
      { harmless: ['the record M is named n.M now'] },
    ],
    [
      'within arrays, maps and records',
      record(
        field('a', { type: 'array', items: { type: 'map', values: { ...(record(value) as object), name: 'I' } } }),
      ),
      record(
        field('a', {
          type: 'array',
          items: { type: 'map', values: { ...(record(field('value', 'boolean')) as object), name: 'I' } },
        }),
      ),
      both('the field a[]{}.value was double and is boolean now'),
    ],
    [
      'a fixed of another size',
      record(field('f', { type: 'fixed', name: 'F', size: 2 })),
      record(field('f', { type: 'fixed', name: 'F', size: 3 })),
      both('the field f was the fixed F of 2 bytes and is the fixed F of 3 bytes now'),
    ],
    [
      'another default',
      record(field('n', 'int', { default: 1 })),
      record(field('n', 'int', { default: 2 })),
      { harmless: ['the field n has the default 2 now'] },
    ],
    [
      'a default less',
      record(field('n', 'int', { default: 1 })),
      record(field('n', 'int')),
      { harmless: ['the field n has no default any more'] },
    ],
  ])('%s', (_name, old, now, expected) => {
    expect(schemaChanges(parseSchema(old), parseSchema(now))).toEqual({
      harmless: [],
      newCannotReadOld: [],
      oldCannotReadNew: [],
      ...expected,
    });
  });

  test('a type within itself ends', () => {
    const list = (type: string): unknown => ({
      type: 'record',
      name: 'L',
      fields: [field('next', ['null', 'L']), field('v', type)],
    });
    expect(schemaChanges(parseSchema(list('int')), parseSchema(list('int'))).harmless).toEqual([]);
    expect(schemaChanges(parseSchema(list('int')), parseSchema(list('string'))).newCannotReadOld).toEqual([
      'the field v was int and is string now',
    ]);
  });
});

describe('whatever the two schemas are', () => {
  const pair = (seed: number) => {
    const old = randomSchema(seed);
    return [old, evolved(old, random(seed + 2))] as const;
  };

  test('where nothing is said to break, every record can be read', () => {
    let compatible = 0;
    fc.assert(
      fc.property(fc.integer(), fc.boolean(), (seed, forward) => {
        const [old, now] = pair(seed);
        const changes = schemaChanges(parseSchema(old), parseSchema(now));
        if ((forward ? changes.oldCannotReadNew : changes.newCannotReadOld).length > 0) return;
        compatible++;
        const [writer, reader] = forward ? [now, old] : [old, now];
        for (let i = 0; i < 5; i++) {
          const out = new ByteWriter();
          compileAvroWriter('test', parseSchema(writer))(randomValue(writer, random(seed + 3 + i)), out);
          compileAvroReader('test', parseSchema(writer), parseSchema(reader))(out.buffer, 0, out.position);
        }
      }),
      { numRuns: 250 },
    );
    expect(compatible).toBeGreaterThan(20);
  });

  test('it judges as the registry does, and both ways round', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const [old, now] = pair(seed).map(parseSchema) as [
          ReturnType<typeof parseSchema>,
          ReturnType<typeof parseSchema>,
        ];
        const changes = schemaChanges(old, now);
        const judged = (faults: readonly string[]): boolean => faults.length === 0;
        expect([judged(changes.newCannotReadOld), judged(changes.oldCannotReadNew)]).toEqual([
          judged(cannotRead(now as RegistryNode, old as RegistryNode, ['new', 'old'])),
          judged(cannotRead(old as RegistryNode, now as RegistryNode, ['old', 'new'])),
        ]);
        const back = schemaChanges(now, old);
        expect(judged(back.newCannotReadOld)).toBe(judged(changes.oldCannotReadNew));
        expect(judged(back.oldCannotReadNew)).toBe(judged(changes.newCannotReadOld));
      }),
      { numRuns: 250 },
    );
  });
});

/** The embedded schema registry. */
import avsc from 'avsc';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EmbeddedKafka, type EmbeddedRegistry, startKafka, startRegistry } from '../../src/embedded/index.ts';
import { type AvroNode, parseSchema } from '../../src/embedded/registry/avro-schema.ts';
import { cannotRead, incompatibilities } from '../../src/embedded/registry/compatibility.ts';
import { SchemaRegistry } from '../../src/index.ts';
import { ask, conversation, expectAnswer } from './registry-conversation.ts';

let kafka: EmbeddedKafka;
let registry: EmbeddedRegistry;
beforeAll(async () => {
  kafka = await startKafka();
  registry = await startRegistry({ kafka: { brokers: kafka.brokers } });
});
afterAll(async () => {
  await registry.close();
  await kafka.close();
});

describe('answers', () => {
  for (const step of conversation) test(step.name, async () => expectAnswer(await ask(registry.url, step), step));
});

test('schemas are in _schemas: another registry on the same topic knows them, with their ids', async () => {
  const client = new SchemaRegistry({ url: registry.url });
  const id = await client.idOf('kept', '"long"');
  await registry.close();
  registry = await startRegistry({ kafka: { brokers: kafka.brokers } });
  const again = new SchemaRegistry({ url: registry.url });
  expect(await again.idOf('kept', '"long"')).toBe(id);
  expect(await again.schemaById(id)).toBe('"long"');
  expect(await again.idOf('another', '"int"')).toBe(id + 1);
});

test('registrations side by side take ids of their own', async () => {
  const client = new SchemaRegistry({ url: registry.url });
  const schema = (i: number): string => JSON.stringify({ type: 'enum', name: `E${i}`, symbols: ['A'] });
  const ids = await Promise.all(Array.from({ length: 20 }, (_, i) => client.idOf(`side-${i}`, schema(i))));
  expect(new Set(ids).size).toBe(20);
});

test('basic authentication: the client says who it is, others get 401', async () => {
  const guarded = await startRegistry({
    kafka: { brokers: kafka.brokers },
    topic: '_guarded',
    users: { alice: 's3cret' },
  });
  const known = new SchemaRegistry({ url: guarded.url, auth: { username: 'alice', password: 's3cret' } });
  expect(await known.idOf('a', '"int"')).toBe(1);
  const stranger = new SchemaRegistry({ url: guarded.url, auth: { username: 'alice', password: 'wrong' } });
  const error = await stranger.idOf('a', '"int"').catch((e: unknown) => e);
  expect(error).toMatchObject({ code: 'MILLRACE_SERDES_REGISTRY_FORBIDDEN', status: 401 });
  expect(JSON.stringify(error) + String(error)).not.toContain('wrong');
  await guarded.close();
});

test('a port in use is named with its setting', async () => {
  const taken = startRegistry({
    kafka: { brokers: kafka.brokers },
    port: registry.port,
    portSetting: 'SCHEMA_REGISTRY_PORT',
  });
  await expect(taken).rejects.toThrow(new RegExp(`${registry.port}.*SCHEMA_REGISTRY_PORT`));
});

describe('compatibility', () => {
  const primitive = fc.constantFrom('int', 'long', 'float', 'double', 'string', 'bytes', 'boolean', 'null');
  const type: fc.Arbitrary<unknown> = fc.letrec<{ type: unknown }>((tie) => ({
    type: fc.oneof(
      { depthSize: 'small' },
      primitive,
      fc.record({ type: fc.constant('array'), items: tie('type') }),
      fc.record({ type: fc.constant('map'), values: tie('type') }),
      fc.uniqueArray(primitive, { minLength: 1, maxLength: 3 }),
      fc
        .uniqueArray(fc.constantFrom('A', 'B', 'C'), { minLength: 1 })
        .map((symbols) => ({ type: 'enum', name: 'E', symbols })),
      fc.integer({ min: 1, max: 2 }).map((size) => ({ type: 'fixed', name: 'F', size })),
    ),
  })).type;
  const schema = fc
    .uniqueArray(fc.record({ name: fc.constantFrom('a', 'b', 'c'), type, optional: fc.boolean() }), {
      selector: ({ name }) => name,
      maxLength: 3,
    })
    .map((fields) => ({
      type: 'record',
      name: 'R',
      fields: fields.map(({ name, type: inner, optional }) =>
        optional ? { name, type: ['null', 'string'], default: null } : { name, type: inner },
      ),
    }));

  test('judges as avsc’s schema resolution does', () => {
    fc.assert(
      fc.property(schema, schema, (r, w) => {
        let reader: avsc.Type;
        let writer: avsc.Type;
        try {
          // A name may be used once in a schema.
          reader = avsc.Type.forSchema(r as avsc.Schema);
          writer = avsc.Type.forSchema(w as avsc.Schema);
        } catch {
          return;
        }
        let resolves = true;
        try {
          reader.createResolver(writer);
        } catch {
          resolves = false;
        }
        const faults = cannotRead(reader as unknown as AvroNode, writer as unknown as AvroNode, ['new', 'old']);
        expect(faults.length === 0, faults.join()).toBe(resolves);
      }),
      { numRuns: 2000 },
    );
  });

  test('names the field and its place', () => {
    const old = parseSchema('{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}');
    const next = parseSchema(
      '{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"int"}]}',
    );
    expect(incompatibilities('BACKWARD', next, [old])).toEqual([
      'TYPE_MISMATCH at /fields/0/type: reader type: string not compatible with writer type: int',
      "READER_FIELD_MISSING_DEFAULT_VALUE at /fields/1: the field 'b' in the new schema has no default value and is missing in the old schema",
    ]);
    expect(incompatibilities('FORWARD', next, [old])).toHaveLength(1);
    expect(incompatibilities('NONE', next, [old])).toEqual([]);
  });

  test('types within themselves end', () => {
    const tree = parseSchema('{"type":"record","name":"T","fields":[{"name":"next","type":["null","T"]}]}');
    expect(incompatibilities('FULL_TRANSITIVE', tree, [tree, tree])).toEqual([]);
  });
});

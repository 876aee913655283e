import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ByteWriter } from '../../src/bytes.ts';
import { metricSchema } from '../../src/schemas/metric.ts';
import {
  avro,
  avroFields,
  nullable,
  SchemaPendingError,
  SchemaRegistry,
  type Serde,
  type ValueOf,
} from '../../src/serdes/index.ts';
import { startTestRegistry, type TestRegistry } from '../support/registry.ts';
import { waitFor } from '../support/wait.ts';

let server: TestRegistry;
beforeEach(async () => {
  server = await startTestRegistry();
});
afterEach(() => server.close());

const value = {
  timestamp: 5,
  service: 's',
  metric_name: 'm',
  value: 1.5,
  labels: { a: 'b' },
  node: null,
  unit: 'ms',
  environment: null,
};

async function written<T>(serde: Serde<T>, v: T): Promise<Buffer> {
  await serde.prepareWrite!('t', 'value');
  const out = new ByteWriter();
  serde.write(v, out, 't', 'value');
  return out.copy();
}

/** Reads as the runtime does: fetches the schema that is missing, then reads again. */
async function read<T>(serde: Serde<T>, bytes: Buffer): Promise<T> {
  try {
    return serde.read(bytes, 0, bytes.length, 't', 'value');
  } catch (error) {
    if (!(error instanceof SchemaPendingError)) throw error;
    await error.resolve();
    return serde.read(bytes, 0, bytes.length, 't', 'value');
  }
}

test('a value is written in the Confluent wire format and read through the registry, whole or in part', async () => {
  const bytes = await written(avro(new SchemaRegistry({ url: server.url }), metricSchema), value);
  expect([...bytes.subarray(0, 5)]).toEqual([0, 0, 0, 0, 1]);
  const other = new SchemaRegistry({ url: server.url });
  expect(await read(avro(other, metricSchema), bytes)).toEqual(value);
  expect(await read(avroFields(other, metricSchema, 'service', 'value'), bytes)).toEqual({ service: 's', value: 1.5 });
});

test('an unknown id is a bad record, asked for once; text is a bad record without asking', async () => {
  const serde = avro(new SchemaRegistry({ url: server.url }), metricSchema);
  const unknown = Buffer.from([0, 0, 0, 0, 99, 1]);
  for (let i = 0; i < 3; i++)
    await expect(read(serde, unknown)).rejects.toMatchObject({ code: 'MILLRACE_SERDES_DESERIALIZATION' });
  expect(server.requests).toEqual(['GET /schemas/ids/99']);
  await expect(read(serde, Buffer.from('not avro'))).rejects.toMatchObject({ code: 'MILLRACE_SERDES_DESERIALIZATION' });
});

test('a registry that fails is waited for; one that says 401 or 403 is fatal at once', async () => {
  const bytes = await written(avro(new SchemaRegistry({ url: server.url }), metricSchema), value);
  server.fail(503);
  const reading = read(avro(new SchemaRegistry({ url: server.url }), metricSchema), bytes);
  const asked = server.requests.length;
  await waitFor(() => server.requests.length > asked + 1);
  server.fail(undefined);
  expect(await reading).toEqual(value);
  for (const status of [401, 403]) {
    server.fail(status);
    await expect(read(avro(new SchemaRegistry({ url: server.url }), metricSchema), bytes)).rejects.toMatchObject({
      code: 'MILLRACE_SERDES_REGISTRY_FORBIDDEN',
      status,
    });
  }
});

test('writing a value that does not fit the schema is a typed error', async () => {
  const serde = avro(new SchemaRegistry({ url: server.url }), metricSchema);
  await expect(written(serde, { ...value, value: 'x' as unknown as number })).rejects.toMatchObject({
    code: 'MILLRACE_SERDES_SERIALIZATION',
  });
});

const order = { type: 'record', name: 'Order', namespace: 'shop', fields: [{ name: 'id', type: 'long' }] } as const;
const refund = { ...order, name: 'Refund' } as const;

describe('the id to write with', () => {
  const writtenTo = (serde: Serde<unknown>, topic: string, value: unknown): Buffer => {
    const out = new ByteWriter();
    serde.write(value, out, topic, 'value');
    return out.copy();
  };

  test('where topics are computed, the schema is registered under the record’s name and writing never waits', async () => {
    const registry = new SchemaRegistry({ url: server.url });
    const serde = avro(registry, order);
    await serde.prepareWrite!(null, 'value');
    expect(server.requests).toEqual(['POST /subjects/shop.Order/versions']);
    const bytes = writtenTo(serde, 'any', { id: 5 });
    expect(writtenTo(serde, 'other', { id: 5 })).toEqual(bytes);
    expect(await read(avro(new SchemaRegistry({ url: server.url }), order), bytes)).toEqual({ id: 5 });
  });

  test('the same through nullable, which is asked for both kinds of topic', async () => {
    const serde = nullable(avro(new SchemaRegistry({ url: server.url }), order));
    await serde.prepareWrite!(null, 'value');
    await serde.prepareWrite!('t', 'value');
    expect(server.requests).toEqual(['POST /subjects/shop.Order/versions', 'POST /subjects/t-value/versions']);
    expect(writtenTo(serde, 'other', { id: 5 })).toEqual(writtenTo(serde, 't', { id: 5 }));
  });

  test('without registering, a schema that another topic has will do; one that no subject has is an error', async () => {
    await avro(new SchemaRegistry({ url: server.url }), order).prepareWrite!('orders', 'value');
    const registry = new SchemaRegistry({ url: server.url, autoRegister: false });
    const serde = avro(registry, order);
    await expect(serde.prepareWrite!(null, 'value')).rejects.toMatchObject({
      code: 'MILLRACE_SERDES_SCHEMA_NOT_REGISTERED',
      message: expect.stringContaining('shop.Order'),
    });
    await serde.prepareWrite!('orders', 'value');
    await serde.prepareWrite!(null, 'value');
    expect(writtenTo(serde, 'any', { id: 5 })).toHaveLength(6);
  });

  test('what fails once is asked for again; what is known is not', async () => {
    const serde = avro(new SchemaRegistry({ url: server.url }), order);
    server.fail(403);
    await expect(serde.prepareWrite!('t', 'value')).rejects.toMatchObject({
      code: 'MILLRACE_SERDES_REGISTRY_FORBIDDEN',
    });
    server.fail(undefined);
    await Promise.all([serde.prepareWrite!('t', 'value'), serde.prepareWrite!('t', 'value')]);
    await serde.prepareWrite!('t', 'value');
    expect(server.requests).toEqual(['POST /subjects/t-value/versions', 'POST /subjects/t-value/versions']);
  });

  test('an unprepared serde says what to await', () => {
    expect(() => writtenTo(avro(new SchemaRegistry({ url: server.url }), order), 't', { id: 5 })).toThrow(
      /prepareWrite\('t', 'value'\)/,
    );
  });

  test('an answer without an id is an error, and no id 0', async () => {
    server.fail(200);
    await expect(
      avro(new SchemaRegistry({ url: server.url }), order).prepareWrite!('t', 'value'),
    ).rejects.toMatchObject({
      code: 'MILLRACE_SERDES_REGISTRY_REFUSED',
    });
    await expect(new SchemaRegistry({ url: server.url }).schemaById(1)).rejects.toMatchObject({
      code: 'MILLRACE_SERDES_REGISTRY_REFUSED',
    });
  });
});

test('a union of two records is written as it is read: an object with the name of the branch', async () => {
  const serde = avro(new SchemaRegistry({ url: server.url }), [order, refund, 'null']);
  const values: ValueOf<typeof serde>[] = [{ 'shop.Order': { id: 5 } }, { 'shop.Refund': { id: 6 } }];
  for (const one of values) expect(await read(serde, await written(serde, one))).toStrictEqual(one);
  await expect(written(serde, { id: 5 } as never)).rejects.toThrow(
    /an object with one property, shop.Order or shop.Refund, or null/,
  );
});

test('a union that the value tells is written and read without names', async () => {
  const schema = {
    type: 'record',
    name: 'R',
    fields: [{ name: 'x', type: ['null', 'long', 'string', order, 'bytes'] }],
  } as const;
  const serde = avro(new SchemaRegistry({ url: server.url }), schema);
  const values: ValueOf<typeof serde>['x'][] = [null, 5, 'text', { id: 5 }, Buffer.from('b')];
  for (const x of values) expect(await read(serde, await written(serde, { x }))).toStrictEqual({ x });
});

test('the same registry, schema and fields give the same serde, whatever the order', () => {
  const registry = new SchemaRegistry({ url: server.url });
  expect(avro(registry, order)).toBe(avro(registry, { ...order }));
  expect(avro(registry, order)).not.toBe(avro(registry, refund));
  expect(avro(registry, order)).not.toBe(avro(new SchemaRegistry({ url: server.url }), order));
  const two = avroFields(registry, metricSchema, 'value', 'service');
  expect(two).toBe(avroFields(registry, metricSchema, 'service', 'value'));
  expect(two).not.toBe(avroFields(registry, metricSchema, 'service'));
  expect(avroFields(registry, order, 'id')).toBe(avro(registry, order));
});

test('some fields of a record may name types that other fields define', async () => {
  const kind = { type: 'enum', name: 'Kind', symbols: ['A', 'B'] } as const;
  const part = {
    type: 'record',
    name: 'Part',
    fields: [
      { name: 'kind', type: kind },
      { name: 'id', type: 'int' },
    ],
  } as const;
  const schema = {
    type: 'record',
    name: 'Whole',
    namespace: 'n.s',
    fields: [
      { name: 'first', type: part },
      { name: 'second', type: 'Part' },
      { name: 'kinds', type: { type: 'array', items: ['null', 'n.s.Kind'] } },
    ],
  } as const;
  const registry = new SchemaRegistry({ url: server.url });
  const whole = { first: { kind: 'A', id: 1 }, second: { kind: 'B', id: 2 }, kinds: ['A', null] } as const;
  const bytes = await written(avro(registry, schema) as Serde<unknown>, whole);
  expect(await read(avroFields(registry, schema, 'second', 'kinds'), bytes)).toEqual({
    second: whole.second,
    kinds: whole.kinds,
  });
  expect(await read(avroFields(registry, schema, 'kinds'), bytes)).toEqual({ kinds: whole.kinds });
  const part2 = avroFields(registry, schema, 'second', 'kinds') as Serde<unknown>;
  expect(await read(part2, await written(part2, { second: whole.second, kinds: ['B'] }))).toEqual({
    second: whole.second,
    kinds: ['B'],
  });
});

test('a schema that is none, and fields that are not there, are typed errors', () => {
  const registry = new SchemaRegistry({ url: server.url });
  const code = { code: 'MILLRACE_SERDES_INVALID_SCHEMA' };
  expect(() => avro(registry, 'nonsense')).toThrow(expect.objectContaining(code));
  expect(() => avro(registry, { type: 'record', name: 'R', fields: [{ name: 'x', type: 'Y' }] })).toThrow(
    expect.objectContaining(code),
  );
  expect(() => avroFields(registry, order, 'colour' as never)).toThrow(expect.objectContaining(code));
  expect(() => avroFields(registry, 'long' as never)).toThrow(expect.objectContaining(code));
});

test('what is refused is not in the error, nor in what a logger makes of it', async () => {
  const registry = new SchemaRegistry({ url: server.url });
  const serde = avro(registry, metricSchema);
  const faults: object[] = [
    { service: 40_404 },
    { value: 'secret' },
    { timestamp: 'secret' },
    { labels: { secret: 40_404 } },
    { labels: ['secret'] },
    { node: { secret: 'secret' } },
  ];
  for (const fault of faults) {
    const error = await written(serde, { ...value, ...fault } as typeof value).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'MILLRACE_SERDES_SERIALIZATION' });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/secret|404/);
    expect((error as Error).message).toContain(`the field ${Object.keys(fault)[0]}`);
  }
  const bytes = await written(serde, { ...value, service: 'secret' });
  for (let cut = 5; cut < bytes.length; cut++) {
    const error = await read(serde, bytes.subarray(0, cut)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'MILLRACE_SERDES_DESERIALIZATION' });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/secret/);
  }
});

test('a value that holds itself, or that throws when it is read, is a typed error, and nothing of it is left in the buffer', async () => {
  const list = { type: 'record', name: 'L', fields: [{ name: 'next', type: ['null', 'L'] }] } as const;
  const serde = avro(new SchemaRegistry({ url: server.url }), list);
  await serde.prepareWrite!('t', 'value');
  const out = new ByteWriter();
  const circle: { next: unknown } = { next: null };
  circle.next = circle;
  expect(() => serde.write(circle, out, 't', 'value')).toThrow(/holds itself/);
  const fault = new Error('of the user’s');
  const throwing = Object.defineProperty({ next: null }, 'next', {
    get() {
      throw fault;
    },
  });
  expect(() => serde.write(throwing, out, 't', 'value')).toThrow(
    expect.objectContaining({ code: 'MILLRACE_SERDES_SERIALIZATION', cause: fault }),
  );
  expect(out.position).toBe(0);
});

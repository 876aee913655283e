import { afterEach, beforeEach, expect, test } from 'vitest';
import { metricSchema } from '../../src/apps/schemas/metric.ts';
import { ByteWriter } from '../../src/bytes.ts';
import { avro, avroFields, SchemaPendingError, SchemaRegistry, type Serde } from '../../src/serdes/index.ts';
import { startTestRegistry, type TestRegistry } from '../support/registry.ts';
import { waitFor } from '../support/wait.ts';

let server: TestRegistry;
beforeEach(async () => {
  server = await startTestRegistry();
});
afterEach(() => server.close());

const value = { timestamp: 5, service: 's', metric_name: 'm', value: 1.5, labels: { a: 'b' }, node: null, unit: 'ms' };

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

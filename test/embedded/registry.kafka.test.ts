/** The same conversation with a real registry: what is listed as different is, and nothing else. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { avro, ByteWriter, SchemaRegistry } from '../../src/index.ts';
import { type RealRegistry, startApicurio } from '../support/apicurio.ts';
import { ask, conversation, expectAnswer } from './registry-conversation.ts';

let registry: RealRegistry;
beforeAll(async () => {
  registry = await startApicurio();
});
afterAll(() => registry?.close());

for (const step of conversation)
  test(step.name, async () => expectAnswer(await ask(registry.url, step), step.real ?? step));

test('our client registers, looks up and reads back on it', async () => {
  const client = new SchemaRegistry({ url: registry.url });
  const schema = { type: 'record', name: 'Reading', fields: [{ name: 'at', type: 'long' }] } as const;
  const serde = avro(client, schema);
  await serde.prepareWrite!('readings', 'value');
  const out = new ByteWriter();
  serde.write({ at: 5 }, out, 'readings', 'value');
  expect(serde.read(out.copy(), 0, out.position, 'readings', 'value')).toEqual({ at: 5 });
  expect(JSON.parse((await client.schemaById(out.buffer.readInt32BE(1)))!)).toMatchObject({ name: 'Reading' });
  expect(await client.schemaById(999_999)).toBeUndefined();
});

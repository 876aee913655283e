/** State that was written under a schema which this process has not seen: it is fetched, nothing is lost. */
import { randomUUID } from 'node:crypto';
import { test as anyTest, inject } from 'vitest';
import { type AvroSchema, avro, SchemaRegistry, type Serde, StreamsBuilder, string } from '../../src/index.ts';
import { temporaryFolder } from '../support/programs.ts';
import { startTestRegistry } from '../support/registry.ts';
import { closeLater, ownKafka, produce, runStreams } from '../support/streams.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

interface Total {
  text: string;
}

const FIELDS = [{ name: 'text', type: 'string' }];

test('an aggregate goes on from what an older schema wrote', async () => {
  const kafka = await ownKafka({ topics: ['in'] });
  const registry = await startTestRegistry();
  closeLater(() => registry.close());
  const applicationId = `app-${randomUUID()}`;
  const stateDir = temporaryFolder();
  const joined = (schema: AvroSchema) => {
    const serde = avro(new SchemaRegistry({ url: registry.url }), schema) as Serde<Total>;
    const builder = new StreamsBuilder();
    builder
      .stream('in', { key: string(), value: string() })
      .groupByKey()
      .aggregate(
        () => ({ text: '' }),
        (_key, value, total) => ({ ...total, text: total.text + value }),
        { name: 'totals', value: serde },
      );
    return runStreams(kafka.brokers, builder.build(), { applicationId, stateDir });
  };
  const first = await joined({ type: 'record', name: 'Total', fields: FIELDS });
  await produce(kafka.brokers, 'in', [{ key: 'k', value: 'a' }]);
  await waitFor(() => first.metrics().processTotal === 1);
  await first.close();

  const more = { name: 'count', type: 'int', default: 0 };
  const second = await joined({ type: 'record', name: 'Total', fields: [...FIELDS, more] });
  await produce(kafka.brokers, 'in', [{ key: 'k', value: 'b' }]);
  const text = (): string | undefined => second.keyValueStores<string, Total>('totals')[0]?.get('k')?.text;
  await waitFor(() => second.state === 'RUNNING' && second.metrics().processTotal > 0 && text() === 'ab');
});

/** A schema that changes while programs run, on the embedded registry. */
import { startRegistry } from '../../src/embedded/index.ts';
import { evolutionSuite } from '../support/evolution-suite.ts';
import { closeLater, ownKafka } from '../support/streams.ts';

evolutionSuite(async () => {
  const kafka = await ownKafka();
  const registry = await startRegistry({ kafka: { brokers: kafka.brokers } });
  closeLater(() => registry.close());
  return registry.url;
});

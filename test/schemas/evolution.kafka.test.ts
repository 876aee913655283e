/** A schema that changes while programs run, on a real registry that demands compatibility. */
import { afterAll, beforeAll } from 'vitest';
import { type RealRegistry, startApicurio } from '../support/apicurio.ts';
import { evolutionSuite } from '../support/evolution-suite.ts';
import { closeLater } from '../support/streams.ts';

let registry: RealRegistry;
beforeAll(async () => {
  registry = await startApicurio();
  await ask('PUT', '/config', { compatibility: 'FULL_TRANSITIVE' });
});
afterAll(() => registry?.close());

evolutionSuite(async () => {
  closeLater(() => ask('DELETE', '/subjects/metrics-value'));
  return registry.url;
});

async function ask(method: string, path: string, body?: object): Promise<void> {
  const init = {
    method,
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' } }),
  };
  const answer = await fetch(`${registry.url}${path}`, init);
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
}

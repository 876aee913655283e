/** The command that registers schemas, on a real registry: one that demands nothing until it is told to. */
import { afterAll, beforeAll } from 'vitest';
import { type RealRegistry, startApicurio } from '../support/apicurio.ts';
import { registrationSuite } from '../support/registration-suite.ts';
import { closeLater } from '../support/streams.ts';

let registry: RealRegistry;
beforeAll(async () => {
  registry = await startApicurio();
});
afterAll(() => registry?.close());

registrationSuite(async () => {
  const { url } = registry;
  closeLater(async () => {
    const subjects = (await (await fetch(`${url}/subjects`)).json()) as string[];
    for (const subject of subjects)
      for (const query of ['', '?permanent=true'])
        await fetch(`${url}/subjects/${subject}${query}`, { method: 'DELETE' });
  });
  return url;
});

/** A schema registry behind TLS with a certificate authority of its own; the certificate is made by the JDK. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SchemaRegistry } from '../../src/index.ts';
import { createCertificates } from '../support/kafka/broker.ts';

test('https is trusted by the authority that is given, and by no other', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'));
  const pem = await createCertificates(folder);
  const server = createServer(
    { pfx: readFileSync(join(folder, 'broker.p12')), passphrase: 'changeit' },
    (_request, response) => response.end(JSON.stringify({ schema: '"int"' })),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  expect(await new SchemaRegistry({ url, ca: readFileSync(pem, 'utf8') }).schemaById(1)).toBe('"int"');
  const warned: string[] = [];
  const logger = {
    debug() {},
    info() {},
    error() {},
    warn: (_fields: object, message: string) => void warned.push(message),
  };
  void new SchemaRegistry({ url, logger }).schemaById(1).catch(() => undefined);
  await expect.poll(() => warned.join()).toMatch(/certificate/);
  server.close();
});

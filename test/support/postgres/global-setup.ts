/**
 * One PostgreSQL for all test files, started when the first asks for it: test files are processes of their own, so they ask
 * through a socket. Who runs none of them waits for nothing.
 */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import type { TestProject } from 'vitest/node';
import { temporaryFolder } from '../programs.ts';
import { startTestPostgres, type TestPostgres } from './start.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Port of loopback that answers with the server's address, or the reason why there is none. */
    postgresPort: number;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = temporaryFolder();
  let starting: Promise<TestPostgres> | undefined;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    starting ??= startTestPostgres(folder);
    starting.then(
      ({ url }) => socket.end(url),
      (error: unknown) => socket.end(`failed: ${error instanceof Error ? error.message : error}`),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  project.provide('postgresPort', (server.address() as AddressInfo).port);
  return async () => {
    server.close();
    await starting?.then(
      (postgres) => postgres.close(),
      () => undefined,
    );
    rmSync(folder, { recursive: true, force: true });
  };
}

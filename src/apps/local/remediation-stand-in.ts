/** What `npm start` asks to remediate where AIOPS_URL is not set: it accepts everything and does nothing. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StandIn {
  readonly url: string;
  close(): void;
}

export async function startStandIn(): Promise<StandIn> {
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      response.writeHead(202, { 'content-type': 'application/json' });
      response.end('{"status":"accepted","by":"stand-in of npm start"}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/remediate`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

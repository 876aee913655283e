/**
 * A schema registry over HTTP for suites whose subject is not the registry: registers, looks up and serves schemas.
 * What a real one answers is tested against a real one, in schema-registry.kafka.test.ts.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface TestRegistry {
  readonly url: string;
  /** Requests answered so far. */
  readonly requests: string[];
  /** Answer with this status from now on; undefined: properly. */
  fail(status: number | undefined): void;
  close(): Promise<void>;
}

export async function startTestRegistry(): Promise<TestRegistry> {
  const schemas: string[] = [];
  /** `subject id` for each schema that a subject has. */
  const registered = new Set<string>();
  const requests: string[] = [];
  let failing: number | undefined;
  const idOf = (schema: string): number => {
    const known = schemas.indexOf(schema);
    return known >= 0 ? known + 1 : schemas.push(schema);
  };
  const server: Server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      requests.push(`${request.method} ${request.url}`);
      const answer = (status: number, content: object): void => {
        response.writeHead(status, { 'content-type': 'application/vnd.schemaregistry.v1+json' });
        response.end(JSON.stringify(content));
      };
      if (failing !== undefined) return answer(failing, { error_code: failing, message: 'asked to fail' });
      const byId = request.url?.match(/^\/schemas\/ids\/(\d+)$/);
      if (byId) {
        const schema = schemas[Number(byId[1]) - 1];
        return schema === undefined
          ? answer(404, { error_code: 40403, message: 'Schema not found' })
          : answer(200, { schema });
      }
      const subject = request.url?.match(/^\/subjects\/([^/]+)(\/versions)?$/);
      if (subject && request.method === 'POST') {
        const id = idOf((JSON.parse(body) as { schema: string }).schema);
        if (subject[2] !== undefined) registered.add(`${subject[1]} ${id}`);
        return registered.has(`${subject[1]} ${id}`)
          ? answer(200, { id })
          : answer(404, { error_code: 40403, message: 'Schema not found' });
      }
      return answer(404, { error_code: 404, message: 'not found' });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    fail(status) {
      failing = status;
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** What comes of a POST, by what the server does. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HttpError, type HttpPost, httpPost, retryAfterMs } from '../../../src/apps/alerts/http-post.ts';
import { Retry } from '../../../src/attempts.ts';
import { freePort } from '../../support/free-port.ts';

let server: Server;
let origin: string;
let handle: (request: IncomingMessage, response: ServerResponse) => void;

beforeEach(async () => {
  server = createServer((request, response) => handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const never = new AbortController().signal;

function post(path = '/hook', signal = never, body: unknown = { a: 1 }): ReturnType<HttpPost> {
  return httpPost(`${origin}${path}`)(body, { idempotencyKey: 'key-1', signal });
}

const failure = (posting: Promise<unknown>): Promise<HttpError> =>
  posting.then(
    () => expect.unreachable(),
    (error) => error,
  );

function answers(status: number, headers: Record<string, string> = {}, text: string | Buffer = ''): void {
  handle = (request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(status, headers).end(text));
  };
}

test('what is posted is JSON, with the idempotency key; the answer is status and text', async () => {
  let seen: unknown;
  handle = (request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const { 'content-type': type, 'idempotency-key': key } = request.headers;
      seen = { method: request.method, url: request.url, type, key, body: JSON.parse(body) };
      response.writeHead(202).end('thanks');
    });
  };
  expect(await post('/hook?token=t')).toEqual({ status: 202, text: 'thanks' });
  expect(seen).toEqual({
    method: 'POST',
    url: '/hook?token=t',
    type: 'application/json',
    key: 'key-1',
    body: { a: 1 },
  });
});

test('a user name and password in the address are sent as basic authentication', async () => {
  let login: string | undefined;
  handle = (request, response) => {
    login = request.headers.authorization;
    response.end();
  };
  await httpPost(origin.replace('//', '//us%40er:p%20w@'))({}, { idempotencyKey: 'k', signal: never });
  expect(Buffer.from(login!.slice('Basic '.length), 'base64').toString()).toBe('us@er:p w');
});

test.each([
  [500, true],
  [503, true],
  [408, true],
  [429, true],
  [400, false],
  [404, false],
  [409, false],
  [304, false],
])('%i: worth another try: %s', async (status, retriable) => {
  answers(status, {}, status === 304 ? '' : 'no');
  expect(await failure(post())).toMatchObject({
    name: 'HttpError',
    code: 'MILLRACE_APPS_HTTP_STATUS',
    status,
    retriable,
    text: status === 304 ? '' : 'no',
  });
});

test('Retry-After is told in ms, whether it comes as seconds or as a time', async () => {
  answers(429, { 'retry-after': '7' });
  expect(await failure(post())).toMatchObject({ retryAfterMs: 7_000 });
  const now = Date.parse('2026-02-03T04:05:00Z');
  expect(retryAfterMs('Tue, 03 Feb 2026 04:05:30 GMT', now)).toBe(30_000);
  expect(retryAfterMs('Tue, 03 Feb 2026 04:04:30 GMT', now)).toBe(0);
  expect(retryAfterMs('9'.repeat(400), now)).toBe(86_400_000);
  expect(retryAfterMs('soon', now)).toBeUndefined();
  expect(retryAfterMs(null, now)).toBeUndefined();
});

test('a redirect is not followed', async () => {
  const paths: (string | undefined)[] = [];
  handle = (request, response) => {
    paths.push(request.url);
    response.writeHead(307, { location: '/elsewhere' }).end();
  };
  const error = await failure(post());
  expect(error).toMatchObject({ status: 307, retriable: false });
  expect(error.message).toContain('redirect');
  expect(paths).toEqual(['/hook']);
});

test('of a long text the first 4 KiB are kept, whole characters, and the rest is not waited for', async () => {
  let socket: Socket;
  handle = (request, response) => {
    socket = request.socket;
    // Two bytes each, and one before them: the limit is in the middle of one. It never ends.
    response.writeHead(200).write(`x${'é'.repeat(1_000_000)}`);
  };
  const { text } = await post();
  expect(text).toBe(`x${'é'.repeat(2047)}`);
  await expect.poll(() => socket.destroyed).toBe(true);
});

test('a text that is no UTF-8 takes no more than 4 KiB either', async () => {
  answers(500, {}, Buffer.alloc(10_000, 0xff));
  const { text } = await failure(post());
  expect(Buffer.byteLength(text!)).toBe(4_095);
});

test('a status whose text does not come is an answer', async () => {
  handle = (_request, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('some');
  };
  expect(await post()).toEqual({ status: 200, text: 'some' });
});

test('a text that breaks off is kept as far as it came', async () => {
  handle = (_request, response) => {
    response.writeHead(400, { 'content-length': '100' }).write('some', () => response.destroy());
  };
  expect(await failure(post())).toMatchObject({ status: 400, text: expect.stringMatching(/^(some)?$/) });
});

test('a server that does not answer: what the signal is aborted with is thrown, and the connection goes', async () => {
  const stop = new AbortController();
  let socket: Socket;
  handle = (request) => {
    socket = request.socket;
    stop.abort(new Error('its time is over'));
  };
  expect((await failure(post('/hook', stop.signal))).message).toBe('its time is over');
  await expect.poll(() => socket.destroyed).toBe(true);
});

test('a connection that is reset is worth another try', async () => {
  handle = (request) => request.socket.resetAndDestroy();
  expect(await failure(post())).toMatchObject({
    code: 'MILLRACE_APPS_HTTP_UNREACHABLE',
    status: undefined,
    text: undefined,
    retriable: true,
    message: `No answer from ${origin}: the connection broke.`,
  });
});

test('a connection that is refused names host and port, and nothing more of the address', async () => {
  const address = `http://user:pass@localhost:${await freePort()}/path?token=t`;
  const error = await failure(httpPost(address)({}, { idempotencyKey: 'k', signal: never }));
  expect(error.message).toBe(`No answer from ${new URL(address).origin}: the connection was refused.`);
  expect(JSON.stringify(error)).not.toMatch(/pass|path|token/);
});

test('connections are kept for the next, also behind an error', async () => {
  const used = new Set<Socket>();
  let posts = 0;
  handle = (request, response) => {
    used.add(request.socket);
    request.resume();
    response.writeHead(++posts % 2 === 0 ? 503 : 200).end('x'.repeat(500));
  };
  for (let i = 0; i < 10; i++) await post().catch(() => undefined);
  // The first may still be at its answer's end when the second wants one.
  expect(used.size).toBeLessThanOrEqual(2);
});

test('a wait that the server asks for is kept to before the next try', () => {
  const retry = new Retry({ initialMs: 1, maxMs: 1, maxElapsedMs: 60_000 });
  const error = new HttpError('MILLRACE_APPS_HTTP_STATUS', 'busy', {
    retriable: true,
    status: 429,
    retryAfterMs: 7_000,
  });
  retry.begin(0);
  expect(retry.delayMs(error, 0)).toBe(7_000);
  // One that ends behind the last try that there may be ends the tries.
  expect(retry.delayMs(error, 55_000)).toBeUndefined();
});

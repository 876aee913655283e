/** The door to the embedded schema registry: an HTTP server over the topic `_schemas`. */
import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KafkaConfig } from 'kafkajs';
import { messageOf } from '../errors.ts';
import { type Logger, silentLogger } from '../logger.ts';
import { isAddressInUse, portInUse } from './errors.ts';
import { RegistryFault } from './registry/registry-fault.ts';
import { findRoute, RawJson } from './registry/routes.ts';
import { SchemaStore } from './registry/schema-store.ts';
import { SchemasTopic } from './registry/schemas-topic.ts';

export interface EmbeddedRegistryOptions {
  /** The cluster that keeps the schemas: kafkajs client options. */
  readonly kafka: KafkaConfig;
  /** Default 0: any that is free. */
  readonly port?: number;
  /** Default 127.0.0.1: this machine only. */
  readonly host?: string;
  /** Default `_schemas`. */
  readonly topic?: string;
  /** Users and passwords of HTTP basic authentication. Default: none is asked for. */
  readonly users?: Readonly<Record<string, string>>;
  /** For a message on a port in use: which setting moves the registry. */
  readonly portSetting?: string;
  readonly logger?: Logger;
}

export interface EmbeddedRegistry {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

const JSON_TYPE = 'application/vnd.schemaregistry.v1+json';
const ACCEPTED = [JSON_TYPE, 'application/vnd.schemaregistry+json', 'application/json', 'application/octet-stream'];
const MAX_BODY_BYTES = 10 * 1024 * 1024;

/**
 * Starts a schema registry in this process, for development and tests: the Confluent REST interface for Avro, kept in a
 * topic of the given cluster. One registry a topic.
 *
 * @throws EmbeddedError MILLRACE_EMBEDDED_PORT_IN_USE; KafkaConnectionError where the cluster is away
 */
export async function startRegistry(options: EmbeddedRegistryOptions): Promise<EmbeddedRegistry> {
  const { kafka, port = 0, host = '127.0.0.1', topic = '_schemas', logger = silentLogger } = options;
  const schemas = new SchemasTopic(topic, kafka, logger);
  const store = new SchemaStore((events) => schemas.append(events));
  try {
    await schemas.open((event) => store.apply(event));
    const server = createServer((request, response) => void answer(store, options, logger, request, response));
    await listen(server, host, port, options.portSetting ?? 'the option port');
    const { port: actual } = server.address() as AddressInfo;
    logger.info({ host, port: actual, topic }, 'embedded schema registry started: for development and tests');
    return {
      url: `http://${host}:${actual}`,
      port: actual,
      async close() {
        server.closeAllConnections();
        await new Promise<void>((resolve) => server.close(() => resolve()));
        await schemas.close();
      },
    };
  } catch (error) {
    await schemas.close();
    throw error;
  }
}

function listen(server: Server, host: string, port: number, setting: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(isAddressInUse(error) ? portInUse('schema registry', host, port, setting, error) : error),
    );
    server.listen(port, host, resolve);
  });
}

async function answer(
  store: SchemaStore,
  { users }: EmbeddedRegistryOptions,
  logger: Logger,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    if (users !== undefined && !isAllowed(users, request.headers.authorization)) {
      response.setHeader('www-authenticate', 'Basic realm="schema registry"');
      throw new RegistryFault(401, 401, 'Unauthorized');
    }
    const url = new URL(request.url ?? '/', 'http://registry');
    const found = findRoute(request.method ?? 'GET', url.pathname);
    if (found === undefined) throw new RegistryFault(404, 404, 'HTTP 404 Not Found');
    if (found === 'method') throw new RegistryFault(405, 405, 'HTTP 405 Method Not Allowed');
    const body = await bodyOf(request);
    const result = await found.handler(store, { path: found.path, query: url.searchParams, body });
    send(response, 200, result instanceof RawJson ? result.text : JSON.stringify(result));
  } catch (error) {
    if (!(error instanceof RegistryFault)) logger.error({ error: messageOf(error) }, 'a registry request failed');
    const { status, errorCode, message } =
      error instanceof RegistryFault
        ? error
        : { status: 500, errorCode: 50001, message: 'Error in the backend data store' };
    send(response, status, JSON.stringify({ error_code: errorCode, message }));
  }
}

function send(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': JSON_TYPE });
  response.end(text);
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  if (request.method !== 'POST' && request.method !== 'PUT') return undefined;
  const type = request.headers['content-type']?.replace(/;.*/, '').trim().toLowerCase();
  if (type !== undefined && !ACCEPTED.includes(type))
    throw new RegistryFault(415, 415, 'HTTP 415 Unsupported Media Type');
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new RegistryFault(413, 413, 'HTTP 413 Request Entity Too Large');
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new RegistryFault(400, 400, 'Unable to process JSON');
  }
}

function isAllowed(users: Readonly<Record<string, string>>, header: string | undefined): boolean {
  const [scheme, credentials = ''] = (header ?? '').split(' ');
  if (scheme?.toLowerCase() !== 'basic') return false;
  const text = Buffer.from(credentials, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  const name = text.slice(0, colon);
  if (colon < 0 || !Object.hasOwn(users, name)) return false;
  const [given, wanted] = [Buffer.from(text.slice(colon + 1)), Buffer.from(users[name]!)];
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

/** The REST interface of the Confluent Schema Registry, for Avro: a table of routes over the store. */
import { type CompatibilityLevel, LEVELS } from './compatibility.ts';
import { RegistryFault, schemaNotFound } from './registry-fault.ts';
import { MODES, type Mode, type SchemaStore, type SchemaVersion } from './schema-store.ts';

export interface RouteRequest {
  /** The named parts of the path, decoded. */
  readonly path: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Parsed JSON; undefined where there is none. */
  readonly body: unknown;
}

type Handler = (store: SchemaStore, request: RouteRequest) => unknown | Promise<unknown>;

interface Route {
  readonly method: string;
  readonly pattern: readonly string[];
  readonly handler: Handler;
}

/** JSON text that is the answer as it is. */
export class RawJson {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const routes: Route[] = [];

function route(method: string, path: string, handler: Handler): void {
  routes.push({ method, pattern: path.split('/').slice(1), handler });
}

route('GET', '/', () => ({}));
route('GET', '/schemas/types', () => ['AVRO']);
route('GET', '/schemas', (store, { query }) =>
  store.list(query.get('subjectPrefix') ?? '', isOn(query, 'latestOnly'), isOn(query, 'deleted')).map(shown),
);
route('GET', '/schemas/ids/:id', (store, { path }) => ({ schema: store.byId(idOf(path)) }));
route('GET', '/schemas/ids/:id/schema', (store, { path }) => new RawJson(store.byId(idOf(path))));
route('GET', '/schemas/ids/:id/versions', (store, { path, query }) =>
  store.usesOf(idOf(path), isOn(query, 'deleted')).map(({ subject, version }) => ({ subject, version })),
);
route('GET', '/schemas/ids/:id/subjects', (store, { path, query }) => [
  ...new Set(store.usesOf(idOf(path), isOn(query, 'deleted')).map(({ subject }) => subject)),
]);

route('GET', '/subjects', (store, { query }) =>
  store.subjects(query.get('subjectPrefix') ?? '', isOn(query, 'deleted')),
);
route('POST', '/subjects/:subject', (store, { path, query, body }) =>
  shown(store.lookUp(path['subject']!, schemaOf(body), isOn(query, 'deleted'))),
);
route('DELETE', '/subjects/:subject', (store, { path, query }) =>
  store.deleteSubject(path['subject']!, isOn(query, 'permanent')),
);
route('GET', '/subjects/:subject/versions', (store, { path, query }) =>
  store.versions(path['subject']!, isOn(query, 'deleted')),
);
route('POST', '/subjects/:subject/versions', async (store, { path, body }) => ({
  id: await store.register(path['subject']!, schemaOf(body)),
}));
route('GET', '/subjects/:subject/versions/:version', (store, { path, query }) =>
  shown(store.version(path['subject']!, path['version']!, isOn(query, 'deleted'))),
);
route(
  'GET',
  '/subjects/:subject/versions/:version/schema',
  (store, { path, query }) =>
    new RawJson(store.version(path['subject']!, path['version']!, isOn(query, 'deleted')).schema),
);
route('GET', '/subjects/:subject/versions/:version/referencedby', (store, { path }) => {
  store.version(path['subject']!, path['version']!);
  return [];
});
route('DELETE', '/subjects/:subject/versions/:version', (store, { path, query }) =>
  store.deleteVersion(path['subject']!, path['version']!, isOn(query, 'permanent')),
);

route('POST', '/compatibility/subjects/:subject/versions', (store, { path, query, body }) =>
  verdict(store.compatibility(path['subject']!, undefined, schemaOf(body)), isOn(query, 'verbose')),
);
route('POST', '/compatibility/subjects/:subject/versions/:version', (store, { path, query, body }) =>
  verdict(store.compatibility(path['subject']!, path['version']!, schemaOf(body)), isOn(query, 'verbose')),
);

route('GET', '/config', (store) => ({ compatibilityLevel: store.level(null) }));
route('PUT', '/config', (store, { body }) => putLevel(store, null, body));
route('DELETE', '/config', async (store) => {
  const compatibility = store.level(null);
  await store.setLevel(null, null);
  return { compatibility };
});
route('GET', '/config/:subject', (store, { path, query }) => {
  const subject = path['subject']!;
  const own = store.ownLevel(subject);
  if (own === undefined && !isOn(query, 'defaultToGlobal')) {
    throw new RegistryFault(404, 40408, `Subject '${subject}' does not have subject-level compatibility configured`);
  }
  return { compatibilityLevel: own ?? store.level(null) };
});
route('PUT', '/config/:subject', (store, { path, body }) => putLevel(store, path['subject']!, body));
route('DELETE', '/config/:subject', async (store, { path }) => {
  const subject = path['subject']!;
  const own = store.ownLevel(subject);
  if (own === undefined) throw new RegistryFault(404, 40401, `Subject '${subject}' not found.`);
  await store.setLevel(subject, null);
  return { compatibility: own };
});

route('GET', '/mode', (store) => ({ mode: store.mode(null) }));
route('PUT', '/mode', (store, { body }) => putMode(store, null, body));
route('GET', '/mode/:subject', (store, { path, query }) => {
  const subject = path['subject']!;
  const own = store.ownMode(subject);
  if (own === undefined && !isOn(query, 'defaultToGlobal'))
    throw new RegistryFault(404, 40409, `Subject '${subject}' does not have subject-level mode configured`);
  return { mode: own ?? store.mode(null) };
});
route('PUT', '/mode/:subject', (store, { path, body }) => putMode(store, path['subject']!, body));
route('DELETE', '/mode/:subject', async (store, { path }) => {
  const subject = path['subject']!;
  const mode = store.mode(subject);
  await store.setMode(subject, null);
  return { mode };
});

/** The route of a request; 'method' where only the method does not fit. */
export function findRoute(
  method: string,
  pathname: string,
): { readonly handler: Handler; readonly path: Record<string, string> } | 'method' | undefined {
  const parts = pathname.replace(/\/+$/, '').split('/').slice(1);
  const given = parts.length === 0 ? [''] : parts;
  let wrongMethod = false;
  for (const { method: wanted, pattern, handler } of routes) {
    const path = match(pattern, given);
    if (path === undefined) continue;
    if (wanted === method) return { handler, path };
    wrongMethod = true;
  }
  return wrongMethod ? 'method' : undefined;
}

function match(pattern: readonly string[], parts: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== parts.length) return undefined;
  const path: Record<string, string> = {};
  for (const [index, wanted] of pattern.entries()) {
    const part = parts[index]!;
    if (wanted.startsWith(':')) {
      try {
        path[wanted.slice(1)] = decodeURIComponent(part);
      } catch {
        return undefined;
      }
    } else if (wanted !== part) return undefined;
  }
  return path;
}

function isOn(query: URLSearchParams, name: string): boolean {
  return query.get(name) === 'true';
}

/** An id that is no number is one that is not there. */
function idOf(path: RouteRequest['path']): number {
  const id = path['id']!;
  if (!/^\d+$/.test(id)) throw schemaNotFound(id);
  return Number(id);
}

function shown({ subject, version, id, schema }: SchemaVersion) {
  return { subject, version, id, schema };
}

function verdict(faults: readonly string[], verbose: boolean) {
  return { is_compatible: faults.length === 0, ...(verbose ? { messages: faults } : {}) };
}

function property(body: unknown, name: string): unknown {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined;
}

function schemaOf(body: unknown): string {
  const schema = property(body, 'schema');
  const schemaType = property(body, 'schemaType') ?? 'AVRO';
  if (schemaType !== 'AVRO')
    throw new RegistryFault(422, 42201, `Invalid schema type ${schemaType}: only AVRO is kept here`);
  const references = property(body, 'references');
  if (Array.isArray(references) && references.length > 0)
    throw new RegistryFault(422, 42201, 'Schema references are not supported here');
  if (typeof schema !== 'string') throw new RegistryFault(422, 42201, 'Empty schema');
  return schema;
}

async function putLevel(store: SchemaStore, subject: string | null, body: unknown) {
  const given = String(property(body, 'compatibility')).toUpperCase();
  if (!LEVELS.includes(given as CompatibilityLevel)) {
    throw new RegistryFault(
      422,
      42203,
      `Invalid compatibility level. Valid values are ${LEVELS.join(', ').toLowerCase()}`,
    );
  }
  await store.setLevel(subject, given as CompatibilityLevel);
  return { compatibility: given };
}

async function putMode(store: SchemaStore, subject: string | null, body: unknown) {
  const given = String(property(body, 'mode')).toUpperCase();
  if (!MODES.includes(given as Mode))
    throw new RegistryFault(422, 42204, `Invalid mode. Valid values are ${MODES.join(', ')}`);
  await store.setMode(subject, given as Mode);
  return { mode: given };
}

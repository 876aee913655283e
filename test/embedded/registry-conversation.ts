/**
 * One conversation with a schema registry, the same for the embedded one and a real one. What they answer differently is in
 * `real`; docs/embedded.md lists it.
 */
import { expect } from 'vitest';

interface Answer {
  readonly status: number;
  /** What the body must have, compared loosely; a RegExp is matched against its text. */
  readonly body?: unknown;
}

export interface Step extends Answer {
  readonly name: string;
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly send?: unknown;
  readonly contentType?: string;
  /** Apicurio's answer where it is another. */
  readonly real?: Answer;
}

const field = (name: string, type: unknown, more: object = {}): object => ({ name, type, ...more });
const record = (...fields: readonly object[]): string =>
  JSON.stringify({ type: 'record', name: 'Metric', namespace: 'com.example', fields });

const V1 = record(field('name', 'string'), field('value', 'double'));
const V2 = record(
  field('name', 'string'),
  field('value', 'double'),
  field('host', ['null', 'string'], { default: null }),
);
const NO_DEFAULT = record(field('name', 'string'), field('value', 'double'), field('region', 'string'));
const OTHER_TYPE = record(field('name', 'string'), field('value', 'string'));
const FEWER = record(field('name', 'string'));

const notFound = (code: number): Answer => ({ status: 404, body: { error_code: code } });

export const conversation: readonly Step[] = [
  { name: 'no subjects', path: '/subjects', status: 200, body: [] },
  { name: 'types', path: '/schemas/types', status: 200, body: expect.arrayContaining(['AVRO']) },
  {
    name: 'the global level',
    path: '/config',
    status: 200,
    body: { compatibilityLevel: 'BACKWARD' },
    real: { status: 200, body: { compatibilityLevel: 'NONE' } },
  },
  { name: 'the global mode', path: '/mode', status: 200, body: { mode: 'READWRITE' }, real: { status: 404 } },
  { name: 'versions of an unknown subject', path: '/subjects/m/versions', ...notFound(40401) },
  { name: 'a version of an unknown subject', path: '/subjects/m/versions/1', ...notFound(40401) },
  { name: 'deleting an unknown subject', method: 'DELETE', path: '/subjects/m', ...notFound(40401) },
  { name: 'an unknown id', path: '/schemas/ids/999999', ...notFound(40403) },
  {
    name: 'looking up under an unknown subject',
    method: 'POST',
    path: '/subjects/m',
    send: { schema: V1 },
    ...notFound(40401),
  },
  {
    name: 'compatibility with the latest of nothing',
    method: 'POST',
    path: '/compatibility/subjects/m/versions/latest',
    send: { schema: V1 },
    status: 200,
    body: { is_compatible: true },
  },
  {
    name: 'setting the global level',
    method: 'PUT',
    path: '/config',
    send: { compatibility: 'BACKWARD' },
    status: 200,
    body: { compatibility: 'BACKWARD' },
    real: { status: 200, body: { compatibilityLevel: 'BACKWARD' } },
  },
  {
    name: 'registering',
    method: 'POST',
    path: '/subjects/m/versions',
    send: { schema: V1 },
    status: 200,
    body: { id: 1 },
  },
  {
    name: 'registering again',
    method: 'POST',
    path: '/subjects/m/versions',
    send: { schema: V1 },
    status: 200,
    body: { id: 1 },
  },
  {
    name: 'registering as application/json, with a type',
    method: 'POST',
    path: '/subjects/m/versions',
    send: { schema: V1, schemaType: 'AVRO' },
    contentType: 'application/json',
    status: 200,
    body: { id: 1 },
  },
  {
    name: 'looking up',
    method: 'POST',
    path: '/subjects/m',
    send: { schema: V1 },
    status: 200,
    body: { subject: 'm', version: 1, id: 1 },
  },
  {
    name: 'looking up what is not there',
    method: 'POST',
    path: '/subjects/m',
    send: { schema: NO_DEFAULT },
    ...notFound(40403),
  },
  { name: 'a schema by id', path: '/schemas/ids/1', status: 200, body: { schema: expect.stringContaining('Metric') } },
  { name: 'where an id is used', path: '/schemas/ids/1/versions', status: 200, body: [{ subject: 'm', version: 1 }] },
  { name: 'an id that is no number', path: '/schemas/ids/abc', status: 404 },
  { name: 'the latest', path: '/subjects/m/versions/latest', status: 200, body: { subject: 'm', version: 1, id: 1 } },
  { name: 'the latest as -1', path: '/subjects/m/versions/-1', status: 200, body: { version: 1 } },
  { name: 'only the schema', path: '/subjects/m/versions/1/schema', status: 200, body: { name: 'Metric' } },
  { name: 'referenced by', path: '/subjects/m/versions/1/referencedby', status: 200, body: [] },
  { name: 'an unknown version', path: '/subjects/m/versions/99', ...notFound(40402) },
  {
    name: 'a version that cannot be',
    path: '/subjects/m/versions/abc',
    status: 422,
    body: { error_code: 42202 },
    real: { status: 404 },
  },
  {
    name: 'a compatible change',
    method: 'POST',
    path: '/compatibility/subjects/m/versions/latest',
    send: { schema: V2 },
    status: 200,
    body: { is_compatible: true },
  },
  {
    name: 'an incompatible change',
    method: 'POST',
    path: '/compatibility/subjects/m/versions/latest',
    send: { schema: NO_DEFAULT },
    status: 200,
    body: { is_compatible: false },
  },
  {
    name: 'an incompatible change, in words',
    method: 'POST',
    path: '/compatibility/subjects/m/versions/latest?verbose=true',
    send: { schema: NO_DEFAULT },
    status: 200,
    body: { is_compatible: false, messages: expect.arrayContaining([expect.stringContaining('region')]) },
    real: { status: 200, body: { is_compatible: false } },
  },
  {
    name: 'compatibility with an unknown version',
    method: 'POST',
    path: '/compatibility/subjects/m/versions/99',
    send: { schema: V1 },
    ...notFound(40402),
  },
  {
    name: 'compatibility of no schema',
    method: 'POST',
    path: '/compatibility/subjects/m/versions/latest',
    send: { schema: '{"type":"recor"}' },
    status: 422,
    body: { error_code: 42201 },
  },
  {
    name: 'registering an incompatible schema',
    method: 'POST',
    path: '/subjects/m/versions',
    send: { schema: NO_DEFAULT },
    status: 409,
  },
  {
    name: 'registering another type',
    method: 'POST',
    path: '/subjects/m/versions',
    send: { schema: OTHER_TYPE },
    status: 409,
  },
  {
    name: 'registering no schema',
    method: 'POST',
    path: '/subjects/m/versions',
    send: { schema: '{"type":"recor"}' },
    status: 422,
    body: { error_code: 42201 },
  },
  {
    name: 'registering what is no JSON',
    method: 'POST',
    path: '/subjects/m/versions',
    send: { schema: 'not json' },
    status: 422,
    body: { error_code: 42201 },
  },
  {
    name: 'a second version',
    method: 'POST',
    path: '/subjects/m/versions',
    send: { schema: V2 },
    status: 200,
    body: { id: 2 },
  },
  { name: 'versions', path: '/subjects/m/versions', status: 200, body: [1, 2] },
  {
    name: 'the same schema elsewhere',
    method: 'POST',
    path: '/subjects/other/versions',
    send: { schema: V1 },
    status: 200,
    body: { id: 1 },
  },
  { name: 'subjects', path: '/subjects', status: 200, body: ['m', 'other'] },
  {
    name: 'a primitive schema',
    method: 'POST',
    path: '/subjects/p/versions',
    send: { schema: '"string"' },
    status: 200,
    body: { id: 3 },
    real: { status: 200 },
  },
  {
    name: 'a level that does not exist',
    method: 'PUT',
    path: '/config',
    send: { compatibility: 'BOGUS' },
    status: 422,
    body: { error_code: 42203 },
    real: { status: 500 },
  },
  {
    name: 'a level of a subject',
    method: 'PUT',
    path: '/config/m',
    send: { compatibility: 'FORWARD' },
    status: 200,
    body: { compatibility: 'FORWARD' },
    real: { status: 200, body: { compatibilityLevel: 'FORWARD' } },
  },
  { name: 'the level of a subject', path: '/config/m', status: 200, body: { compatibilityLevel: 'FORWARD' } },
  {
    name: 'forward: a field without default may come',
    method: 'POST',
    path: '/compatibility/subjects/m/versions/latest',
    send: { schema: NO_DEFAULT },
    status: 200,
    body: { is_compatible: true },
  },
  {
    name: 'forward: a field without default may not go',
    method: 'POST',
    path: '/compatibility/subjects/m/versions/latest',
    send: { schema: FEWER },
    status: 200,
    body: { is_compatible: false },
  },
  { name: 'full', method: 'PUT', path: '/config/m', send: { compatibility: 'FULL' }, status: 200 },
  {
    name: 'full: neither',
    method: 'POST',
    path: '/compatibility/subjects/m/versions/latest',
    send: { schema: NO_DEFAULT },
    status: 200,
    body: { is_compatible: false },
  },
  { name: 'transitive', method: 'PUT', path: '/config/m', send: { compatibility: 'BACKWARD_TRANSITIVE' }, status: 200 },
  {
    name: 'transitive: with all before',
    method: 'POST',
    path: '/subjects/m/versions',
    send: { schema: record(field('name', 'string'), field('value', 'bytes')) },
    status: 409,
  },
  { name: 'the level is the global one again', method: 'DELETE', path: '/config/m', status: 200 },
  {
    name: 'read only',
    method: 'PUT',
    path: '/mode/ro',
    send: { mode: 'READONLY' },
    status: 200,
    body: { mode: 'READONLY' },
    real: { status: 204 },
  },
  {
    name: 'registering in read only',
    method: 'POST',
    path: '/subjects/ro/versions',
    send: { schema: V1 },
    status: 422,
    body: { error_code: 42205 },
    real: { status: 200 },
  },
  {
    name: 'read and write again',
    method: 'PUT',
    path: '/mode/ro',
    send: { mode: 'READWRITE' },
    status: 200,
    real: { status: 204 },
  },
  {
    name: 'a mode that does not exist',
    method: 'PUT',
    path: '/mode/m',
    send: { mode: 'BOGUS' },
    status: 422,
    real: { status: 400 },
  },
  {
    name: 'deleting a version for good before deleting it',
    method: 'DELETE',
    path: '/subjects/m/versions/1?permanent=true',
    status: 404,
    body: { error_code: 40407 },
    real: { status: 409, body: { error_code: 40407 } },
  },
  {
    name: 'deleting an unknown version',
    method: 'DELETE',
    path: '/subjects/m/versions/99',
    ...notFound(40402),
  },
  { name: 'deleting a version', method: 'DELETE', path: '/subjects/m/versions/1', status: 200, body: 1 },
  { name: 'a deleted version', path: '/subjects/m/versions/1', ...notFound(40402) },
  {
    name: 'a deleted version, asked for',
    path: '/subjects/m/versions/1?deleted=true',
    status: 200,
    body: { version: 1 },
  },
  {
    name: 'deleting it again',
    method: 'DELETE',
    path: '/subjects/m/versions/1',
    status: 404,
    body: { error_code: 40406 },
    real: { status: 409, body: { error_code: 40406 } },
  },
  { name: 'versions after', path: '/subjects/m/versions', status: 200, body: [2] },
  { name: 'versions with the deleted', path: '/subjects/m/versions?deleted=true', status: 200, body: [1, 2] },
  { name: 'its id can be read', path: '/schemas/ids/1', status: 200, body: { schema: expect.any(String) } },
  {
    name: 'deleting it for good',
    method: 'DELETE',
    path: '/subjects/m/versions/1?permanent=true',
    status: 200,
    body: 1,
  },
  {
    name: 'deleting a subject for good before deleting it',
    method: 'DELETE',
    path: '/subjects/m?permanent=true',
    status: 404,
    body: { error_code: 40405 },
    real: { status: 409, body: { error_code: 40405 } },
  },
  { name: 'deleting a subject', method: 'DELETE', path: '/subjects/m', status: 200, body: [2] },
  { name: 'a deleted subject', path: '/subjects/m/versions', ...notFound(40401) },
  { name: 'deleting it once more', method: 'DELETE', path: '/subjects/m', status: 404, body: { error_code: 40404 } },
  {
    name: 'subjects with the deleted',
    path: '/subjects?deleted=true',
    status: 200,
    body: expect.arrayContaining(['m', 'other', 'p']),
  },
  {
    name: 'deleting the subject for good',
    method: 'DELETE',
    path: '/subjects/m?permanent=true',
    status: 200,
    body: [2],
  },
  { name: 'subjects at the end', path: '/subjects', status: 200, body: expect.not.arrayContaining(['m']) },
  {
    name: 'white space does not make another schema',
    method: 'POST',
    path: '/subjects/p/versions',
    send: { schema: '  "string" ' },
    status: 200,
    body: { id: 3 },
    real: { status: 200 },
  },
  {
    name: 'a subject without a level',
    method: 'POST',
    path: '/subjects/n/versions',
    send: { schema: V1 },
    status: 200,
  },
  { name: 'none', method: 'PUT', path: '/config/n', send: { compatibility: 'NONE' }, status: 200 },
  {
    name: 'none: anything goes',
    method: 'POST',
    path: '/subjects/n/versions',
    send: { schema: OTHER_TYPE },
    status: 200,
    // There a subject without a level of its own falls back to the global one.
    real: { status: 409 },
  },
  { name: 'an unknown path', path: '/nonexistent/path', status: 404 },
  { name: 'a method that is not there', method: 'PUT', path: '/subjects', status: 405 },
];

export async function ask(
  url: string,
  { method = 'GET', path, send, contentType }: Step,
): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url + path, {
    method,
    ...(send === undefined
      ? {}
      : {
          headers: { 'content-type': contentType ?? 'application/vnd.schemaregistry.v1+json' },
          body: JSON.stringify(send),
        }),
  });
  const text = await response.text();
  try {
    return { status: response.status, body: JSON.parse(text) };
  } catch {
    return { status: response.status, body: text };
  }
}

export function expectAnswer(actual: { status: number; body: unknown }, { status, body }: Answer): void {
  expect(actual.status, JSON.stringify(actual.body)).toBe(status);
  if (body === undefined) return;
  if (typeof body === 'object' && body !== null && !Array.isArray(body) && !('asymmetricMatch' in body))
    expect(actual.body).toMatchObject(body);
  else expect(actual.body).toEqual(body);
}

/** What an API of the broker is: a key, versions, two messages, a handler. One file each, in apis/. */
import type { Connection } from './connection.ts';
import type { EmbeddedBroker } from './embedded-broker.ts';
import type { WireType } from './wire-types.ts';

export interface RequestContext {
  readonly broker: EmbeddedBroker;
  readonly connection: Connection;
  /** The id of the node that the request came in at. */
  readonly node: number;
  readonly version: number;
  readonly clientId: string | null;
}

export interface Api<Req, Res> {
  readonly key: number;
  readonly name: string;
  readonly minVersion: number;
  readonly maxVersion: number;
  /** The first flexible version (KIP-482); Infinity: none. */
  readonly flexibleFrom: number;
  readonly request: WireType<Req>;
  readonly response: WireType<Res>;
  /** Undefined: no answer is sent (Produce with acks 0). */
  handle(request: Req, context: RequestContext): Res | undefined | Promise<Res | undefined>;
  /** The answer that says this error wherever the message has a place for one. */
  fail(request: Req, errorCode: number, version: number): Res;
}

// biome-ignore lint/suspicious/noExplicitAny: a table of APIs of any messages; each file types its own
export type AnyApi = Api<any, any>;

/** Its messages first: what a handler is given and gives follows from them. */
export function defineApi<Req, Res>(
  request: WireType<Req>,
  response: WireType<Res>,
): (api: Omit<Api<Req, Res>, 'request' | 'response'> & ThisType<Api<Req, Res>>) => Api<Req, Res> {
  return (api) => ({ ...api, request, response });
}

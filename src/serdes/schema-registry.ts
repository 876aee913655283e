/**
 * A client of the Confluent Schema Registry's REST interface: schemas by id, and registering or looking up a subject's
 * schema. A registry that is down is waited for; one that says no is an error at once.
 */
import { Backoff } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import { type Logger, silentLogger } from '../logger.ts';
import { monotonicMs } from '../monotonic.ts';
import { RegistryError, SerdeOptionError } from './errors.ts';
import { exchange, type HttpAnswer } from './http-exchange.ts';
import { SharedWork } from './shared-work.ts';

export interface SchemaRegistryOptions {
  /** e.g. http://localhost:8081; a path prefix is kept, a user name and password in it are as good as `auth`. */
  readonly url: string;
  /** PEM text of the certificate authority of an https address; default: those that the system trusts. */
  readonly ca?: string;
  /** HTTP basic authentication. */
  readonly auth?: { readonly username: string; readonly password: string };
  /** Register a schema that its subject lacks (auto.register.schemas), or refuse. Default true. */
  readonly autoRegister?: boolean;
  /** ms for one request. Default 10000. */
  readonly timeoutMs?: number;
  /** ms for which an id that does not exist is not asked for again. Default 60000. */
  readonly unknownIdTtlMs?: number;
  readonly logger?: Logger;
}

/** A schema as a subject has it. */
export interface RegisteredSchema {
  /** The same for the same schema under whatever subject. */
  readonly id: number;
  /** Counted by subject, from 1. */
  readonly version: number;
  /** The schema's text. */
  readonly schema: string;
}

const JSON_TYPE = 'application/vnd.schemaregistry.v1+json';
const MAX_REMEMBERED_UNKNOWN_IDS = 10_000;

export class SchemaRegistry {
  /** Without a slash at its end, and without a login: messages show it. */
  readonly #address: string;
  readonly #ca: string | undefined;
  readonly #options: Required<Omit<SchemaRegistryOptions, 'auth' | 'url' | 'ca'>>;
  readonly #authorization: string | undefined;
  readonly #unknownIds = new Map<number, number>();
  readonly #schemas = new Map<number, string>();
  readonly #asking = new SharedWork<string | undefined>();
  readonly #registering = new SharedWork<number>();
  readonly #tokens = new Map<string, object>();

  /** @throws SerdeOptionError */
  constructor(options: SchemaRegistryOptions) {
    const {
      url,
      ca,
      autoRegister = true,
      timeoutMs = 10_000,
      unknownIdTtlMs = 60_000,
      logger = silentLogger,
    } = options;
    const address = addressOf(url);
    const auth = loginOf(address) ?? options.auth;
    address.username = '';
    address.password = '';
    this.#address = address.href.replace(/\/$/, '');
    this.#ca = ca;
    for (const [name, value, least] of [
      ['timeoutMs', timeoutMs, 1],
      ['unknownIdTtlMs', unknownIdTtlMs, 0],
    ] as const) {
      if (!(Number.isSafeInteger(value) && value >= least && value < 2 ** 32))
        throw new SerdeOptionError(`SchemaRegistry: ${name} is ${value}; it must be a whole number ≥ ${least} of ms.`);
    }
    this.#options = { autoRegister, timeoutMs, unknownIdTtlMs, logger };
    this.#authorization = auth && `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`;
  }

  /** The same object for the same schema: what serdes of one schema know each other by. */
  tokenOf(schema: string): object {
    let token = this.#tokens.get(schema);
    if (token === undefined) this.#tokens.set(schema, (token = {}));
    return token;
  }

  /** True where a recent look-up found that the id does not exist. */
  isUnknown(id: number): boolean {
    const until = this.#unknownIds.get(id);
    return until !== undefined && until > monotonicMs();
  }

  /**
   * The schema's text; undefined where the registry has no such id (remembered for a while). An id's schema never changes:
   * asked for once, however many readers wait for it.
   * @param signal ends the wait for a registry that is away @throws RegistryError
   */
  async schemaById(id: number, signal?: AbortSignal): Promise<string | undefined> {
    const known = this.#schemas.get(id);
    if (known !== undefined) return known;
    const found = await this.#asking.get(`id ${id}`, (end) => this.#schemaById(id, end), signal);
    return this.#unlessEnded(found);
  }

  async #schemaById(id: number, signal: AbortSignal): Promise<string | undefined> {
    const answer = await this.#request('GET', `/schemas/ids/${id}`, undefined, [404], signal);
    if (answer === undefined) {
      if (this.#unknownIds.size >= MAX_REMEMBERED_UNKNOWN_IDS) this.#unknownIds.clear();
      this.#unknownIds.set(id, monotonicMs() + this.#options.unknownIdTtlMs);
      return undefined;
    }
    const { schema } = answer;
    if (typeof schema !== 'string') throw this.#strange('a schema');
    this.#schemas.set(id, schema);
    return schema;
  }

  /**
   * The id under which the subject has this schema; registers it where that is allowed.
   * @param signal ends the wait for a registry that is away @throws RegistryError
   */
  async idOf(subject: string, schema: string, signal?: AbortSignal): Promise<number> {
    const found = await this.#registering.get(
      JSON.stringify([subject, schema]),
      (end) => this.#idOf(subject, schema, end),
      signal,
    );
    return this.#unlessEnded(found);
  }

  async #idOf(subject: string, schema: string, signal: AbortSignal): Promise<number> {
    const path = subjectPath(subject);
    if (this.#options.autoRegister) {
      const answer = await this.#request('POST', `${path}/versions`, { schema }, [], signal);
      return this.#id(answer!);
    }
    const answer = await this.#request('POST', path, { schema }, [404], signal);
    if (answer === undefined) {
      throw new RegistryError(
        'MILLRACE_SERDES_SCHEMA_NOT_REGISTERED',
        `The subject ${subject} does not have the schema to write with, and registering is off. Register it, or set autoRegister.`,
        404,
      );
    }
    return this.#id(answer);
  }

  /**
   * What the subject has last; undefined where it has nothing.
   * @param signal ends the wait for a registry that is away @throws RegistryError
   */
  async latest(subject: string, signal?: AbortSignal): Promise<RegisteredSchema | undefined> {
    const answer = await this.#request('GET', `${subjectPath(subject)}/versions/latest`, undefined, [404], signal);
    return answer && this.#registered(answer);
  }

  /**
   * The schema as the subject has it, in whatever version; undefined where it does not. Registers nothing.
   * @param signal ends the wait for a registry that is away @throws RegistryError
   */
  async lookUp(subject: string, schema: string, signal?: AbortSignal): Promise<RegisteredSchema | undefined> {
    const answer = await this.#request('POST', subjectPath(subject), { schema }, [404], signal);
    return answer && this.#registered({ schema, ...answer });
  }

  /**
   * Why the registry would not take the schema as the subject's next version, by the subject's level, in its words. Registers
   * nothing.
   * @param signal ends the wait for a registry that is away @returns empty: it would @throws RegistryError
   */
  async incompatibilities(subject: string, schema: string, signal?: AbortSignal): Promise<string[]> {
    const path = `/compatibility${subjectPath(subject)}/versions/latest?verbose=true`;
    const answer = await this.#request('POST', path, { schema }, [404], signal);
    // Of a subject that has nothing.
    if (answer === undefined || answer['is_compatible'] === true) return [];
    if (answer['is_compatible'] !== false) throw this.#strange('a verdict');
    const { messages } = answer;
    return Array.isArray(messages) && messages.length > 0 ? messages.map(String) : ['no reason given'];
  }

  #registered(answer: Record<string, unknown>): RegisteredSchema {
    const { version, schema } = answer;
    if (!Number.isInteger(version) || typeof schema !== 'string') throw this.#strange('a version and its schema');
    return { id: this.#id(answer), version: Number(version), schema };
  }

  #unlessEnded<T>(found: { readonly value: T } | undefined): T {
    if (found !== undefined) return found.value;
    throw new RegistryError(
      'MILLRACE_SERDES_REGISTRY_UNREACHABLE',
      `Stopped waiting for the schema registry at ${this.#address}.`,
      0,
      true,
    );
  }

  #id({ id }: Record<string, unknown>): number {
    if (!(Number.isInteger(id) && Number(id) >= 0 && Number(id) < 2 ** 31)) throw this.#strange('an id');
    return Number(id);
  }

  #strange(lacking: string): RegistryError {
    return new RegistryError(
      'MILLRACE_SERDES_REGISTRY_REFUSED',
      `What answers at ${this.#address} is not a schema registry: an answer without ${lacking}. Check the address.`,
      200,
    );
  }

  /** One attempt. @throws RegistryError, retriable where the registry is away or failing */
  async #once(
    method: string,
    path: string,
    body: object | undefined,
    absent: readonly number[],
    signal: AbortSignal,
  ): Promise<Record<string, unknown> | undefined> {
    const { timeoutMs } = this.#options;
    const where = this.#address;
    let answer: HttpAnswer;
    try {
      answer = await exchange({
        method,
        url: new URL(`${where}${path}`),
        headers: {
          accept: `${JSON_TYPE}, application/json`,
          ...(body === undefined ? {} : { 'content-type': JSON_TYPE }),
          ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        timeoutMs,
        ca: this.#ca,
        signal,
      });
    } catch (error) {
      throw new RegistryError(
        'MILLRACE_SERDES_REGISTRY_UNREACHABLE',
        `No answer from the schema registry at ${where} (${messageOf(error)}).`,
        0,
        true,
        error,
      );
    }
    const { status, text } = answer;
    if (status >= 200 && status < 300) return parsed(text, where);
    if (absent.includes(status)) return undefined;
    if (status === 401 || status === 403) {
      throw new RegistryError(
        'MILLRACE_SERDES_REGISTRY_FORBIDDEN',
        `The schema registry at ${where} answered ${status} to ${method} ${path}. Check its user name, password and rights.`,
        status,
      );
    }
    const retriable = status >= 500 || status === 429 || status === 408;
    throw new RegistryError(
      'MILLRACE_SERDES_REGISTRY_REFUSED',
      `The schema registry at ${where} answered ${status} to ${method} ${path}: ${reasonOf(text)}`,
      status,
      retriable,
    );
  }

  async #request(
    method: string,
    path: string,
    body: object | undefined,
    absent: readonly number[],
    signal: AbortSignal = new AbortController().signal,
  ): Promise<Record<string, unknown> | undefined> {
    const backoff = new Backoff();
    for (;;) {
      try {
        return await this.#once(method, path, body, absent, signal);
      } catch (error) {
        if (!(error instanceof RegistryError) || !error.retriable || signal.aborted) throw error;
        this.#options.logger.warn({ code: error.code, attempt: backoff.attempt }, `${error.message} Trying again.`);
        await backoff.wait(signal);
        // Not what ended the wait, but what it was for.
        if (signal.aborted) throw error;
      }
    }
  }
}

function subjectPath(subject: string): string {
  return `/subjects/${encodeURIComponent(subject)}`;
}

/** @throws SerdeOptionError, without the address: a login may be in it */
function addressOf(url: string): URL {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  if (address?.protocol === 'http:' || address?.protocol === 'https:') return address;
  throw new SerdeOptionError('SchemaRegistry: url must be an http or https address, e.g. http://localhost:8081.');
}

/** @returns undefined where there is none in the address */
function loginOf({ username, password }: URL): SchemaRegistryOptions['auth'] {
  if (username === '') return undefined;
  try {
    return { username: decodeURIComponent(username), password: decodeURIComponent(password) };
  } catch {
    throw new SerdeOptionError('SchemaRegistry: the user name or password in url has a % that starts no escape.');
  }
}

/** An answer that is no JSON is not a registry's: the address is wrong, or a proxy answers. */
function parsed(text: string, where: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new RegistryError(
      'MILLRACE_SERDES_REGISTRY_REFUSED',
      `What answers at ${where} is not a schema registry: not JSON. Check the address.`,
      200,
      false,
      error,
    );
  }
}

function reasonOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? 'no reason given');
  } catch {
    return 'no reason given';
  }
}

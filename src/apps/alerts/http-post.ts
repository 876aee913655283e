/**
 * A POST of JSON over Node's fetch, which keeps connections for the next one. What did not work is an error that says
 * whether another try is worth it. Messages have scheme, host and port of the address, never more: paths and queries of
 * webhooks are as secret as passwords.
 */
import { MillraceError, messageOf } from '../../errors.ts';

/** Of an answer's text this many bytes are kept, whole characters. */
export const TEXT_BYTES = 4_096;
/** ms that an answer's text is waited for once its status is there. */
const TEXT_MS = 500;
/** What a server can ask for at most, ms: a timer that is set for longer fires at once. */
const MAX_RETRY_AFTER_MS = 86_400_000;

export interface HttpAnswer {
  /** 200 to 299. */
  readonly status: number;
  /** The beginning of its text, see {@link TEXT_BYTES}. */
  readonly text: string;
}

export interface PostOptions {
  /** The same in each repetition, so that the server can tell one. */
  readonly idempotencyKey: string;
  /** Ends the exchange; what it is aborted with is thrown. */
  readonly signal: AbortSignal;
}

/** @throws HttpError; the signal's reason */
export type HttpPost = (body: unknown, options: PostOptions) => Promise<HttpAnswer>;

interface HttpErrorOptions {
  readonly retriable: boolean;
  readonly status?: number;
  readonly text?: string;
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** A POST that was answered with something else than 2xx, or not at all. */
export class HttpError extends MillraceError {
  /** Undefined: there was no answer. */
  readonly status: number | undefined;
  /** ms that the server asks to be left alone for (`Retry-After`). */
  readonly retryAfterMs: number | undefined;
  // Not enumerable: it may quote what was posted.
  readonly #text: string | undefined;

  constructor(code: string, message: string, { retriable, status, text, retryAfterMs, ...options }: HttpErrorOptions) {
    super(code, message, { retriable, ...options });
    this.status = status;
    this.retryAfterMs = retryAfterMs;
    this.#text = text;
  }

  /** The beginning of the answer's text; undefined where there was no answer. */
  get text(): string | undefined {
    return this.#text;
  }
}

/**
 * Posts to one address. 5xx, 408 and 429 are worth another try, and so is no answer; other answers than 2xx are not, and
 * redirects are among them: what follows one would post somewhere that nobody has named.
 * @param address http or https; a user name and password in it are sent as basic authentication
 */
export function httpPost(address: string): HttpPost {
  const url = new URL(address);
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (url.username !== '' || url.password !== '') {
    const login = `${decoded(url.username)}:${decoded(url.password)}`;
    headers['authorization'] = `Basic ${Buffer.from(login).toString('base64')}`;
    // fetch refuses an address that has them, and quotes it.
    url.username = '';
    url.password = '';
  }
  return async (body, { idempotencyKey, signal }) => {
    const response = await send(url, {
      method: 'POST',
      headers: { ...headers, 'idempotency-key': idempotencyKey },
      body: JSON.stringify(body),
      redirect: 'manual',
      signal,
    });
    const text = await beginningOf(response);
    if (response.ok) return { status: response.status, text };
    throw refusal(url, response, text);
  };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function send(url: URL, request: RequestInit & { readonly signal: AbortSignal }): Promise<Response> {
  try {
    return await fetch(url, request);
  } catch (error) {
    if (request.signal.aborted) throw request.signal.reason;
    throw new HttpError('MILLRACE_APPS_HTTP_UNREACHABLE', `No answer from ${url.origin}: ${reasonOf(error)}.`, {
      retriable: true,
      cause: error,
    });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke',
  UND_ERR_SOCKET: 'the connection broke',
  ENOTFOUND: 'nobody has this name',
  EAI_AGAIN: 'the name cannot be looked up now',
  ETIMEDOUT: 'no connection in time',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
};

/** fetch says "fetch failed" of everything; why is in the causes. */
function reasonOf(error: unknown): string {
  const { cause = error } = error as { readonly cause?: unknown };
  const { code } = cause as { readonly code?: unknown };
  const known = typeof code === 'string' ? REASONS[code] : undefined;
  return known ?? messageOf(cause).replace(/\.$/, '');
}

/**
 * Reads the beginning of the text and lets the rest go, so that the connection is free for the next or closed. A text that
 * does not come, or breaks off, changes nothing of the answer: its status is there.
 */
async function beginningOf(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return '';
  const drop = (): void => void reader.cancel().catch(() => undefined);
  const timer = setTimeout(drop, TEXT_MS);
  const decoder = new TextDecoder();
  let text = '';
  try {
    for (let bytes = 0; bytes < TEXT_BYTES; ) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.length;
      text += decoder.decode(value.subarray(0, value.length - Math.max(0, bytes - TEXT_BYTES)), { stream: true });
    }
  } catch {
    // What came is kept.
  } finally {
    clearTimeout(timer);
    drop();
  }
  return cut(text);
}

/** What is no UTF-8 has grown while it was read. */
function cut(text: string): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(TEXT_BYTES));
  return text.slice(0, read);
}

function refusal(url: URL, { status, headers }: Response, text: string): HttpError {
  const moved = status >= 300 && status < 400 ? ', a redirect, which is not followed: set the address it moved to' : '';
  return new HttpError('MILLRACE_APPS_HTTP_STATUS', `${url.origin} answered ${status}${moved}.`, {
    retriable: status >= 500 || status === 408 || status === 429,
    status,
    text,
    retryAfterMs: retryAfterMs(headers.get('retry-after'), Date.now()),
  });
}

/** Seconds, or the time itself as HTTP writes it. @returns undefined where it is neither */
export function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  const ms = /^\s*\d+\s*$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), MAX_RETRY_AFTER_MS);
}

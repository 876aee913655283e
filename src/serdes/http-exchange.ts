/** One HTTP request and its answer as text, over TLS with a certificate authority of one's own where it is given. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';

export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly timeoutMs: number;
  /** PEM text of the certificate authority; undefined: those that the system trusts. */
  readonly ca?: string | undefined;
  /** Ends the exchange. */
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

/** What a registry says fits in far less. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** @throws what the network says, a time-out, or that the signal ended it */
export async function exchange(request: HttpRequest): Promise<HttpAnswer> {
  const { signal, timeoutMs } = request;
  const ending = new AbortController();
  const onAbort = (): void => ending.abort(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => ending.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await send(request, ending.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

function send({ method, url, headers, body, ca }: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const options = { method, headers: { ...headers }, signal, ...(ca === undefined ? {} : { ca }) };
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) request.destroy(new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`));
        chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
      );
    });
    // Node says of a request that was ended that it was; why is the signal's.
    request.on('error', (error) => reject(signal.aborted && signal.reason instanceof Error ? signal.reason : error));
    request.end(body);
  });
}

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
}

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

/** What a registry says fits in far less. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** @throws what the network says, or a time-out */
export function exchange({ method, url, headers, body, timeoutMs, ca }: HttpRequest): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const options = {
      method,
      headers: { ...headers },
      signal: AbortSignal.timeout(timeoutMs),
      ...(ca === undefined ? {} : { ca }),
    };
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
    request.on('error', reject);
    request.end(body);
  });
}

/** A small request that any broker answers at once, for tests of what carries requests. */
import type { ApiRequest } from '../../src/kafka/requests/request.ts';

/** Metadata of no topic; the answer's content is not looked at. */
export function metadataRequest(timeoutMs?: number): ApiRequest<string> {
  return {
    apiKey: 3,
    apiVersion: 1,
    apiName: 'Metadata',
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    write: (out) => void out.int32(0),
    read: () => 'answered',
  };
}

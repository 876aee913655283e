/** ApiVersions v0 to v3. A version that is not known is answered as v0 with UNSUPPORTED_VERSION (KIP-511). v3 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { array, FrameWriter, int16, int32, since, string, struct } from '../wire-types.ts';
import { supportedApis } from './index.ts';

const apiRange = struct({ key: int16, minVersion: int16, maxVersion: int16 });
const response = struct({ errorCode: int16, apis: array(apiRange), throttleTimeMs: since(1, int32, 0) });

const request = struct({ clientName: since(3, string, ''), clientVersion: since(3, string, '') });

export const apiVersions = defineApi(
  request,
  response,
)({
  key: 18,
  name: 'ApiVersions',
  minVersion: 0,
  maxVersion: 3,
  flexibleFrom: 3,
  handle: () => ({ errorCode: ErrorCode.NONE, apis: supportedApis(), throttleTimeMs: 0 }),
  fail: (_request, errorCode) => ({ errorCode, apis: supportedApis(), throttleTimeMs: 0 }),
});

/** The answer to a version that is not known. */
export function apiVersionsFallback(correlationId: number): readonly Buffer[] {
  const writer = new FrameWriter(0, false);
  int32.write(writer, correlationId);
  response.write(writer, { errorCode: ErrorCode.UNSUPPORTED_VERSION, apis: supportedApis(), throttleTimeMs: 0 });
  return writer.parts();
}

/** SaslHandshake v1: PLAIN, with SaslAuthenticate. v0 and its bare tokens are left out. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { array, int16, string, struct } from '../wire-types.ts';

export const MECHANISM = 'PLAIN';

const request = struct({ mechanism: string });

const response = struct({ errorCode: int16, mechanisms: array(string) });

export const saslHandshake = defineApi(
  request,
  response,
)({
  key: 17,
  name: 'SaslHandshake',
  minVersion: 1,
  maxVersion: 1,
  flexibleFrom: Number.POSITIVE_INFINITY,
  handle({ mechanism }, { broker, connection }) {
    if (!broker.requiresLogin) return { errorCode: ErrorCode.ILLEGAL_SASL_STATE, mechanisms: [] };
    if (mechanism !== MECHANISM) return { errorCode: ErrorCode.UNSUPPORTED_SASL_MECHANISM, mechanisms: [MECHANISM] };
    connection.mechanism = mechanism;
    return { errorCode: ErrorCode.NONE, mechanisms: [MECHANISM] };
  },
  fail: (_request, errorCode) => ({ errorCode, mechanisms: [MECHANISM] }),
});

/** SaslAuthenticate v0 to v2: PLAIN (RFC 4616), `authorization id NUL user NUL password`. v2 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { bytes, int16, int64, nullableString, since, struct } from '../wire-types.ts';

const NO_BYTES = Buffer.alloc(0);

const request = struct({ authBytes: bytes });

const response = struct({
  errorCode: int16,
  errorMessage: nullableString,
  authBytes: bytes,
  sessionLifetimeMs: since(1, int64, 0),
});

export const saslAuthenticate = defineApi(
  request,
  response,
)({
  key: 36,
  name: 'SaslAuthenticate',
  minVersion: 0,
  maxVersion: 2,
  flexibleFrom: 2,
  handle(req, { broker, connection, version }) {
    if (connection.mechanism === undefined) return this.fail(req, ErrorCode.ILLEGAL_SASL_STATE, version);
    const [, user = '', password = ''] = req.authBytes.toString('utf8').split('\0');
    if (!broker.isUser(user, password)) {
      const message = 'Authentication failed: Invalid username or password';
      return { ...this.fail(req, ErrorCode.SASL_AUTHENTICATION_FAILED, version), errorMessage: message };
    }
    connection.user = user;
    return { errorCode: ErrorCode.NONE, errorMessage: null, authBytes: NO_BYTES, sessionLifetimeMs: 0 };
  },
  fail: (_request, errorCode) => ({
    errorCode,
    errorMessage: null as string | null,
    authBytes: NO_BYTES,
    sessionLifetimeMs: 0,
  }),
});

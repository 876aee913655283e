/** InitProducerId v0 to v4. v2 is flexible, v3 says who the producer was (KIP-360), v4 may answer PRODUCER_FENCED. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { int16, int32, int64, nullableString, since, struct } from '../wire-types.ts';
import { transactionFault } from './coordinated.ts';
import { fencedAs } from './fenced.ts';

const request = struct({
  transactionalId: nullableString,
  timeoutMs: int32,
  producerId: since(3, int64, -1),
  producerEpoch: since(3, int16, -1),
});

const response = struct({ throttleTimeMs: int32, errorCode: int16, producerId: int64, producerEpoch: int16 });

export const initProducerId = defineApi(
  request,
  response,
)({
  key: 22,
  name: 'InitProducerId',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 2,
  handle(req, context) {
    const { transactionalId, timeoutMs, producerId, producerEpoch } = req;
    const { broker, version } = context;
    const fault = transactionFault(context, transactionalId);
    if (fault !== ErrorCode.NONE) return this.fail(req, fault, version);
    const result = broker.transactions.initProducerId(transactionalId, timeoutMs, producerId, producerEpoch);
    return { throttleTimeMs: 0, ...result, errorCode: fencedAs(result.errorCode, version >= 4) };
  },
  fail: (_request, errorCode) => ({ throttleTimeMs: 0, errorCode, producerId: -1, producerEpoch: -1 }),
});

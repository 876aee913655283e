/** EndTxn v0 to v3. v3 is flexible. */
import { defineApi } from '../api.ts';
import { bool, int16, int32, int64, string, struct } from '../wire-types.ts';
import { transactionFault } from './coordinated.ts';
import { fencedAs } from './fenced.ts';

const request = struct({ transactionalId: string, producerId: int64, producerEpoch: int16, committed: bool });

const response = struct({ throttleTimeMs: int32, errorCode: int16 });

export const endTxn = defineApi(
  request,
  response,
)({
  key: 26,
  name: 'EndTxn',
  minVersion: 0,
  maxVersion: 3,
  flexibleFrom: 3,
  handle({ transactionalId, producerId, producerEpoch, committed }, context) {
    const errorCode =
      transactionFault(context, transactionalId) ||
      context.broker.transactions.end(transactionalId, producerId, producerEpoch, committed);
    return { throttleTimeMs: 0, errorCode: fencedAs(errorCode, context.version >= 2) };
  },
  fail: (_request, errorCode) => ({ throttleTimeMs: 0, errorCode }),
});

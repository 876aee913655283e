/** AddOffsetsToTxn v0 to v3: a group's positions become part of the transaction. v3 is flexible. */
import { defineApi } from '../api.ts';
import { int16, int32, int64, string, struct } from '../wire-types.ts';
import { transactionFault } from './coordinated.ts';
import { fencedAs } from './fenced.ts';

const request = struct({ transactionalId: string, producerId: int64, producerEpoch: int16, groupId: string });

const response = struct({ throttleTimeMs: int32, errorCode: int16 });

export const addOffsetsToTxn = defineApi(
  request,
  response,
)({
  key: 25,
  name: 'AddOffsetsToTxn',
  minVersion: 0,
  maxVersion: 3,
  flexibleFrom: 3,
  handle({ transactionalId, producerId, producerEpoch, groupId }, context) {
    const errorCode =
      transactionFault(context, transactionalId) ||
      context.broker.transactions.addGroup(transactionalId, producerId, producerEpoch, groupId);
    return { throttleTimeMs: 0, errorCode: fencedAs(errorCode, context.version >= 2) };
  },
  fail: (_request, errorCode) => ({ throttleTimeMs: 0, errorCode }),
});

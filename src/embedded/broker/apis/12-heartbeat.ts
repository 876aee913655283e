/** Heartbeat v0 to v4. v3 has static members, v4 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { int16, int32, nullableString, since, string, struct } from '../wire-types.ts';
import { groupFault } from './coordinated.ts';

const request = struct({
  groupId: string,
  generationId: int32,
  memberId: string,
  groupInstanceId: since(3, nullableString, null),
});

const response = struct({ throttleTimeMs: since(1, int32, 0), errorCode: int16 });

export const heartbeat = defineApi(
  request,
  response,
)({
  key: 12,
  name: 'Heartbeat',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 4,
  handle({ groupId, generationId, memberId, groupInstanceId }, context) {
    const fault = groupFault(context, groupId);
    // A coordinator that loads the group does not know its members yet: they are let be.
    if (fault === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) return { throttleTimeMs: 0, errorCode: ErrorCode.NONE };
    if (fault !== ErrorCode.NONE) return { throttleTimeMs: 0, errorCode: fault };
    const group = context.broker.groups.get(groupId);
    const errorCode = group?.heartbeat(memberId, groupInstanceId, generationId) ?? ErrorCode.UNKNOWN_MEMBER_ID;
    return { throttleTimeMs: 0, errorCode };
  },
  fail: (_request, errorCode) => ({ throttleTimeMs: 0, errorCode }),
});

/** LeaveGroup v0 to v5. v3 takes several members, static ones by instance id (KIP-345); v4 is flexible, v5 has a reason. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { array, int16, int32, nullableString, since, string, struct } from '../wire-types.ts';
import { groupFault } from './coordinated.ts';

const request = struct({
  groupId: string,
  memberId: since(0, string, '', 2),
  members: since(
    3,
    array(struct({ memberId: string, groupInstanceId: nullableString, reason: since(5, nullableString, null) })),
    [],
  ),
});

const response = struct({
  throttleTimeMs: since(1, int32, 0),
  errorCode: int16,
  members: since(3, array(struct({ memberId: string, groupInstanceId: nullableString, errorCode: int16 })), []),
});

export const leaveGroup = defineApi(
  request,
  response,
)({
  key: 13,
  name: 'LeaveGroup',
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 4,
  handle({ groupId, memberId, members }, context) {
    const { broker, version } = context;
    const fault = groupFault(context, groupId);
    if (fault !== ErrorCode.NONE) return this.fail({ groupId, memberId, members }, fault, version);
    const group = broker.groups.get(groupId);
    const leave = (id: string, instance: string | null): number =>
      group?.leave(id, instance) ?? ErrorCode.UNKNOWN_MEMBER_ID;
    if (version < 3) return { throttleTimeMs: 0, errorCode: leave(memberId, null), members: [] };
    return {
      throttleTimeMs: 0,
      errorCode: ErrorCode.NONE,
      members: members.map((member) => ({ ...member, errorCode: leave(member.memberId, member.groupInstanceId) })),
    };
  },
  fail: (_request, errorCode) => ({ throttleTimeMs: 0, errorCode, members: [] }),
});

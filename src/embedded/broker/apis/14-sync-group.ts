/** SyncGroup v0 to v5. Parked until the leader has assigned. v3 has static members, v4 is flexible, v5 names the protocol. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { syncError } from '../groups/group-member.ts';
import { array, bytes, int16, int32, nullableString, since, string, struct } from '../wire-types.ts';
import { groupFault } from './coordinated.ts';

const request = struct({
  groupId: string,
  generationId: int32,
  memberId: string,
  groupInstanceId: since(3, nullableString, null),
  protocolType: since(5, nullableString, null),
  protocolName: since(5, nullableString, null),
  assignments: array(struct({ memberId: string, assignment: bytes })),
});

const response = struct({
  throttleTimeMs: since(1, int32, 0),
  errorCode: int16,
  protocolType: since(5, nullableString, null),
  protocolName: since(5, nullableString, null),
  assignment: bytes,
});

export const syncGroup = defineApi(
  request,
  response,
)({
  key: 14,
  name: 'SyncGroup',
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 4,
  async handle(req, context) {
    const { broker, version } = context;
    const { groupId, memberId, groupInstanceId, generationId, protocolType, protocolName, assignments } = req;
    const fault = groupFault(context, groupId);
    // What a coordinator loads is the generation before: the rebalance that this belongs to is lost, and begins anew.
    if (fault === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
      return this.fail(req, ErrorCode.REBALANCE_IN_PROGRESS, version);
    if (fault !== ErrorCode.NONE) return this.fail(req, fault, version);
    const group = broker.groups.get(groupId);
    if (group === undefined) return this.fail(req, ErrorCode.UNKNOWN_MEMBER_ID, version);
    const result = await group.sync(memberId, groupInstanceId, generationId, protocolType, protocolName, assignments);
    return { throttleTimeMs: 0, ...result };
  },
  fail: (_request, errorCode) => ({ throttleTimeMs: 0, ...syncError(errorCode) }),
});

/**
 * JoinGroup v0 to v7. Parked until the group is complete or the rebalance times out. v4 asks new members to come again with
 * an id (KIP-394), v5 has static members, v6 is flexible, v7 says the protocol type.
 */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { type JoinResult, joinError } from '../groups/group-member.ts';
import { array, bytes, int16, int32, nullableString, since, string, struct } from '../wire-types.ts';
import { groupFault } from './coordinated.ts';

const request = struct({
  groupId: string,
  sessionTimeoutMs: int32,
  rebalanceTimeoutMs: since(1, int32, -1),
  memberId: string,
  groupInstanceId: since(5, nullableString, null),
  protocolType: string,
  protocols: array(struct({ name: string, metadata: bytes })),
});

const response = struct({
  throttleTimeMs: since(2, int32, 0),
  errorCode: int16,
  generationId: int32,
  protocolType: since(7, nullableString, null),
  protocolName: nullableString,
  leader: string,
  memberId: string,
  members: array(struct({ memberId: string, groupInstanceId: since(5, nullableString, null), metadata: bytes })),
});

export const joinGroup = defineApi(
  request,
  response,
)({
  key: 11,
  name: 'JoinGroup',
  minVersion: 0,
  maxVersion: 7,
  flexibleFrom: 6,
  async handle(req, context) {
    const { broker, connection, version, clientId } = context;
    const { groupId, sessionTimeoutMs, rebalanceTimeoutMs, protocols, ...rest } = req;
    const fault = groupFault(context, groupId);
    if (fault !== ErrorCode.NONE) return this.fail(req, fault, version);
    const result = await broker.groups.join(groupId, {
      ...rest,
      sessionTimeoutMs,
      rebalanceTimeoutMs: rebalanceTimeoutMs < 0 ? sessionTimeoutMs : rebalanceTimeoutMs,
      // Views of the frame would keep all of it.
      protocols: protocols.map(({ name, metadata }) => ({ name, metadata: Buffer.from(metadata) })),
      clientId: clientId ?? '',
      clientHost: connection.clientHost,
      requiresKnownMemberId: version >= 4,
    });
    return answer(result, version);
  },
  fail: ({ memberId }, errorCode, version) => answer(joinError(errorCode, memberId), version),
});

/** Before v7 a protocol name must be there. */
function answer(result: JoinResult, version: number) {
  return { throttleTimeMs: 0, ...result, protocolName: result.protocolName ?? (version < 7 ? '' : null) };
}

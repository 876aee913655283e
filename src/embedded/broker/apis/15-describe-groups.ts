/** DescribeGroups v0 to v5. A group that is not there is `Dead`. v3 may ask for operations, v4 has static members, v5 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import type { Group } from '../groups/group.ts';
import { array, bool, bytes, int16, int32, nullableString, since, string, struct } from '../wire-types.ts';
import { groupFault } from './coordinated.ts';

const UNKNOWN_OPERATIONS = -2_147_483_648;

const request = struct({ groups: array(string), includeOperations: since(3, bool, false) });

const response = struct({
  throttleTimeMs: since(1, int32, 0),
  groups: array(
    struct({
      errorCode: int16,
      groupId: string,
      state: string,
      protocolType: string,
      protocolData: string,
      members: array(
        struct({
          memberId: string,
          groupInstanceId: since(4, nullableString, null),
          clientId: string,
          clientHost: string,
          metadata: bytes,
          assignment: bytes,
        }),
      ),
      operations: since(3, int32, UNKNOWN_OPERATIONS),
    }),
  ),
});

export const describeGroups = defineApi(
  request,
  response,
)({
  key: 15,
  name: 'DescribeGroups',
  minVersion: 0,
  maxVersion: 5,
  flexibleFrom: 5,
  handle: ({ groups }, context) => ({
    throttleTimeMs: 0,
    groups: groups.map((groupId) => {
      const fault = groupFault(context, groupId);
      if (fault !== ErrorCode.NONE) return dead(groupId, fault);
      const group = context.broker.groups.get(groupId);
      return group === undefined ? dead(groupId, ErrorCode.NONE) : describe(group);
    }),
  }),
  fail: ({ groups }, errorCode) => ({
    throttleTimeMs: 0,
    groups: groups.map((groupId) => dead(groupId, errorCode)),
  }),
});

function describe(group: Group) {
  const { groupId, state, protocolType, protocolName, members } = group;
  return {
    ...dead(groupId, ErrorCode.NONE),
    state: state as string,
    protocolType,
    // What members say of themselves is known once a protocol is chosen.
    protocolData: state === 'Stable' ? (protocolName ?? '') : '',
    members: [...members.values()].map(
      ({ memberId, groupInstanceId, clientId, clientHost, protocols, assignment }) => ({
        memberId,
        groupInstanceId,
        clientId,
        clientHost,
        metadata:
          state === 'Stable'
            ? (protocols.find((p) => p.name === protocolName)?.metadata ?? Buffer.alloc(0))
            : Buffer.alloc(0),
        assignment,
      }),
    ),
  };
}

interface DescribedMember {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly metadata: Buffer;
  readonly assignment: Buffer;
}

function dead(groupId: string, errorCode: number) {
  const members: readonly DescribedMember[] = [];
  return {
    errorCode,
    groupId,
    state: errorCode === ErrorCode.NONE ? 'Dead' : '',
    protocolType: '',
    protocolData: '',
    members,
    operations: UNKNOWN_OPERATIONS,
  };
}

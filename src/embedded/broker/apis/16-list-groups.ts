/** ListGroups v0 to v4: those that this node coordinates. v3 is flexible, v4 filters by state. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { array, int16, int32, since, string, struct } from '../wire-types.ts';
import { groupFault } from './coordinated.ts';

const request = struct({ states: since(4, array(string), []) });

const response = struct({
  throttleTimeMs: since(1, int32, 0),
  errorCode: int16,
  groups: array(struct({ groupId: string, protocolType: string, state: since(4, string, '') })),
});

export const listGroups = defineApi(
  request,
  response,
)({
  key: 16,
  name: 'ListGroups',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 3,
  handle: ({ states }, context) => ({
    throttleTimeMs: 0,
    errorCode: context.broker.cluster.isLoadingGroups(context.node)
      ? ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
      : (ErrorCode.NONE as number),
    groups: [...context.broker.groups.all()]
      .filter(({ groupId }) => groupFault(context, groupId) === ErrorCode.NONE)
      .filter(
        ({ state }) => states.length === 0 || states.some((wanted) => wanted.toLowerCase() === state.toLowerCase()),
      )
      .map(({ groupId, protocolType, state }) => ({ groupId, protocolType, state })),
  }),
  fail: (_request, errorCode) => ({ throttleTimeMs: 0, errorCode, groups: [] }),
});

/** DeleteGroups v0 to v2: empty ones only. v2 is flexible. */
import { defineApi } from '../api.ts';
import { array, int16, int32, string, struct } from '../wire-types.ts';
import { groupFault } from './coordinated.ts';

const request = struct({ groups: array(string) });

const response = struct({ throttleTimeMs: int32, results: array(struct({ groupId: string, errorCode: int16 })) });

export const deleteGroups = defineApi(
  request,
  response,
)({
  key: 42,
  name: 'DeleteGroups',
  minVersion: 0,
  maxVersion: 2,
  flexibleFrom: 2,
  handle: ({ groups }, context) => ({
    throttleTimeMs: 0,
    results: groups.map((groupId) => ({
      groupId,
      errorCode: groupFault(context, groupId) || context.broker.groups.delete(groupId),
    })),
  }),
  fail: ({ groups }, errorCode) => ({
    throttleTimeMs: 0,
    results: groups.map((groupId) => ({ groupId, errorCode })),
  }),
});

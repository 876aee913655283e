/** AlterConfigs v0 to v2: replaces all configs of a topic. v2 is flexible. */
import { defineApi } from '../api.ts';
import { array, bool, int8, nullableString, string, struct } from '../wire-types.ts';
import { alterConfigsFailed, alterConfigsResponse, alterTopicConfigs } from './alter-topic-configs.ts';

const request = struct({
  resources: array(
    struct({
      resourceType: int8,
      name: string,
      configs: array(struct({ name: string, value: nullableString })),
    }),
  ),
  validateOnly: bool,
});

export const alterConfigs = defineApi(
  request,
  alterConfigsResponse,
)({
  key: 33,
  name: 'AlterConfigs',
  minVersion: 0,
  maxVersion: 2,
  flexibleFrom: 2,
  handle: (req, { broker }) =>
    alterTopicConfigs(broker, req, ({ configs }, { overrides }) => [
      ...[...overrides.keys()].map((name) => [name, undefined] as const),
      ...configs.map(({ name, value }) => [name, value] as const),
    ]),
  fail: alterConfigsFailed,
});

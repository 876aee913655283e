/** IncrementalAlterConfigs v0 and v1: sets, deletes, appends to and takes from single configs of a topic. v1 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { TOPIC_CONFIGS, type TopicConfig } from '../topic-config.ts';
import { configsFault } from '../topics.ts';
import { array, bool, int8, nullableString, string, struct, type ValueOf } from '../wire-types.ts';
import { TOPIC_RESOURCE } from './32-describe-configs.ts';
import { alterConfigsResponse } from './33-alter-configs.ts';

const change = struct({ name: string, operation: int8, value: nullableString });

const request = struct({
  resources: array(struct({ resourceType: int8, name: string, configs: array(change) })),
  validateOnly: bool,
});

const Operation = { SET: 0, DELETE: 1, APPEND: 2, SUBTRACT: 3 } as const;

export const incrementalAlterConfigs = defineApi(
  request,
  alterConfigsResponse,
)({
  key: 44,
  name: 'IncrementalAlterConfigs',
  minVersion: 0,
  maxVersion: 1,
  flexibleFrom: 1,
  handle: ({ resources, validateOnly }, { broker }) => ({
    throttleTimeMs: 0,
    results: resources.map(({ resourceType, name, configs }) => {
      const answer = (errorCode: number, errorMessage: string | null = null) => ({
        errorCode,
        errorMessage,
        resourceType,
        name,
      });
      if (resourceType !== TOPIC_RESOURCE)
        return answer(ErrorCode.INVALID_REQUEST, 'Only the configs of topics can be changed here.');
      const topic = broker.topics.get(name);
      if (topic === undefined) return answer(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
      const changes = configs.map((one) => ({ name: one.name, value: changed(topic.config, one) }));
      const set = changes.flatMap(({ name: config, value }) => (value === undefined ? [] : [[config, value] as const]));
      const fault = configsFault(new Map(set));
      if (fault !== undefined) return answer(fault.errorCode, fault.message);
      if (validateOnly) return answer(ErrorCode.NONE);
      for (const { name: config, value } of changes) {
        if (value === undefined) topic.config.overrides.delete(config);
        else topic.config.overrides.set(config, value!);
      }
      broker.topics.save(topic);
      return answer(ErrorCode.NONE);
    }),
  }),
  fail: ({ resources }, errorCode) => ({
    throttleTimeMs: 0,
    results: resources.map(({ resourceType, name }) => ({ errorCode, errorMessage: null, resourceType, name })),
  }),
});

/** The value afterwards; undefined: the default again. */
function changed(config: TopicConfig, { name, operation, value }: ValueOf<typeof change>): string | null | undefined {
  if (operation === Operation.DELETE) return undefined;
  if (operation === Operation.SET || TOPIC_CONFIGS[name]?.type !== 'list') return value;
  const now = config.text(name).split(',').filter(Boolean);
  const parts = (value ?? '').split(',').filter(Boolean);
  const next =
    operation === Operation.APPEND ? [...new Set([...now, ...parts])] : now.filter((p) => !parts.includes(p));
  return next.join(',');
}

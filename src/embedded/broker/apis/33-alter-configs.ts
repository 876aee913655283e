/** AlterConfigs v0 to v2: replaces all configs of a topic. v2 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { configsFault } from '../topics.ts';
import { array, bool, int8, int16, int32, nullableString, string, struct } from '../wire-types.ts';
import { TOPIC_RESOURCE } from './32-describe-configs.ts';

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

export const alterConfigsResponse = struct({
  throttleTimeMs: int32,
  results: array(struct({ errorCode: int16, errorMessage: nullableString, resourceType: int8, name: string })),
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
      const wanted = new Map(configs.map((config) => [config.name, config.value]));
      const fault = configsFault(wanted);
      if (fault !== undefined) return answer(fault.errorCode, fault.message);
      if (validateOnly) return answer(ErrorCode.NONE);
      topic.config.overrides.clear();
      for (const [config, value] of wanted) topic.config.overrides.set(config, value!);
      broker.topics.save(topic);
      return answer(ErrorCode.NONE);
    }),
  }),
  fail: ({ resources }, errorCode) => ({
    throttleTimeMs: 0,
    results: resources.map(({ resourceType, name }) => ({ errorCode, errorMessage: null, resourceType, name })),
  }),
});

/** What AlterConfigs and IncrementalAlterConfigs have in common: the answer, and which resources can be changed at all. */
import { ErrorCode } from '../../../kafka/index.ts';
import type { EmbeddedBroker } from '../embedded-broker.ts';
import type { TopicConfig } from '../topic-config.ts';
import { configsFault } from '../topics.ts';
import { array, int8, int16, int32, nullableString, string, struct } from '../wire-types.ts';
import { TOPIC_RESOURCE } from './32-describe-configs.ts';

export const alterConfigsResponse = struct({
  throttleTimeMs: int32,
  results: array(struct({ errorCode: int16, errorMessage: nullableString, resourceType: int8, name: string })),
});

interface Resource {
  readonly resourceType: number;
  readonly name: string;
}

/** A config and its value; undefined: the default again. */
type ConfigChange = readonly [name: string, value: string | null | undefined];

/** Makes the changes of each resource, in order; each has its own answer, and is changed whole or not at all. */
export function alterTopicConfigs<R extends Resource>(
  broker: EmbeddedBroker,
  { resources, validateOnly }: { readonly resources: readonly R[]; readonly validateOnly: boolean },
  changesOf: (resource: R, config: TopicConfig) => readonly ConfigChange[],
) {
  const alter = (resource: R) => {
    const { resourceType, name } = resource;
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
    const { overrides } = topic.config;
    const changes = changesOf(resource, topic.config);
    const set = changes.flatMap(([config, value]) => (value === undefined ? [] : [[config, value] as const]));
    const fault = configsFault(new Map(set));
    if (fault !== undefined) return answer(fault.errorCode, fault.message);
    if (validateOnly) return answer(ErrorCode.NONE);
    for (const [config, value] of changes) {
      if (value === undefined) overrides.delete(config);
      else overrides.set(config, value!);
    }
    broker.topics.save(topic);
    return answer(ErrorCode.NONE);
  };
  return { throttleTimeMs: 0, results: resources.map(alter) };
}

export function alterConfigsFailed({ resources }: { readonly resources: readonly Resource[] }, errorCode: number) {
  return {
    throttleTimeMs: 0,
    results: resources.map(({ resourceType, name }) => ({ errorCode, errorMessage: null, resourceType, name })),
  };
}

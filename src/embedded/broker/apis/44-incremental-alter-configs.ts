/** IncrementalAlterConfigs v0 and v1: sets, deletes, appends to and takes from single configs of a topic. v1 is flexible. */
import { defineApi } from '../api.ts';
import { TOPIC_CONFIGS, type TopicConfig } from '../topic-config.ts';
import { array, bool, int8, nullableString, string, struct, type ValueOf } from '../wire-types.ts';
import { alterConfigsFailed, alterConfigsResponse, alterTopicConfigs } from './alter-topic-configs.ts';

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
  handle: (req, { broker }) =>
    alterTopicConfigs(broker, req, ({ configs }, config) => configs.map((one) => [one.name, changed(config, one)])),
  fail: alterConfigsFailed,
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

/** A topic's configs as CreateTopics and DescribeConfigs say them. */
import { CONFIG_TYPE_IDS, TOPIC_CONFIGS, type TopicConfig } from '../topic-config.ts';

/** Where a value is from (`ConfigEntry.ConfigSource`). */
export const ConfigSource = { TOPIC: 1, DEFAULT: 5 } as const;

export function configEntries(config: TopicConfig, names: readonly string[] = Object.keys(TOPIC_CONFIGS)) {
  return names
    .filter((name) => Object.hasOwn(TOPIC_CONFIGS, name))
    .map((name) => {
      const isSet = config.overrides.has(name);
      return {
        name,
        value: config.text(name) as string | null,
        readOnly: false,
        isDefault: !isSet,
        source: isSet ? ConfigSource.TOPIC : ConfigSource.DEFAULT,
        isSensitive: false,
        type: CONFIG_TYPE_IDS[TOPIC_CONFIGS[name]!.type],
      };
    });
}

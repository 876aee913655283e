/** The store of a table that is kept: an operator's result, or a topic as it is read. */
import type { KeyValueStoreDescription } from '../state/index.ts';
import type { TableMaterializedOptions } from './options.ts';

export function tableStore<K, V>(
  name: string,
  { key, value, kind, caching, logging, topicConfigs }: TableMaterializedOptions<K, V>,
): KeyValueStoreDescription<K, V> {
  return {
    type: 'key-value',
    name,
    key,
    value,
    kind: kind ?? 'persistent',
    cachingEnabled: caching ?? true,
    loggingEnabled: logging ?? true,
    topicConfigs: topicConfigs ?? {},
    timestamped: true,
  };
}

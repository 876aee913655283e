/** The configs of a topic that this broker acts on or reports, with Kafka's defaults and checks. */

type ConfigType = 'int' | 'long' | 'double' | 'boolean' | 'string' | 'list';

interface ConfigDefinition {
  readonly type: ConfigType;
  readonly default: string;
  readonly values?: readonly string[];
  readonly min?: number;
}

/** By name. Those that only replication or tiers would use are accepted and reported. */
export const TOPIC_CONFIGS: Readonly<Record<string, ConfigDefinition>> = {
  'cleanup.policy': { type: 'list', default: 'delete', values: ['delete', 'compact'] },
  'compression.type': {
    type: 'string',
    default: 'producer',
    values: ['producer', 'uncompressed', 'gzip', 'snappy', 'lz4', 'zstd'],
  },
  'delete.retention.ms': { type: 'long', default: '86400000', min: 0 },
  'file.delete.delay.ms': { type: 'long', default: '60000', min: 0 },
  'flush.messages': { type: 'long', default: '9223372036854775807', min: 1 },
  'flush.ms': { type: 'long', default: '9223372036854775807', min: 0 },
  'index.interval.bytes': { type: 'int', default: '4096', min: 0 },
  'max.compaction.lag.ms': { type: 'long', default: '9223372036854775807', min: 1 },
  'max.message.bytes': { type: 'int', default: '1048588', min: 0 },
  'message.timestamp.after.max.ms': { type: 'long', default: '9223372036854775807', min: 0 },
  'message.timestamp.before.max.ms': { type: 'long', default: '9223372036854775807', min: 0 },
  'message.timestamp.type': { type: 'string', default: 'CreateTime', values: ['CreateTime', 'LogAppendTime'] },
  'min.cleanable.dirty.ratio': { type: 'double', default: '0.5', min: 0 },
  'min.compaction.lag.ms': { type: 'long', default: '0', min: 0 },
  'min.insync.replicas': { type: 'int', default: '1', min: 1 },
  preallocate: { type: 'boolean', default: 'false' },
  'retention.bytes': { type: 'long', default: '-1', min: -1 },
  'retention.ms': { type: 'long', default: '604800000', min: -1 },
  'segment.bytes': { type: 'int', default: '1073741824', min: 14 },
  'segment.index.bytes': { type: 'int', default: '10485760', min: 4 },
  'segment.jitter.ms': { type: 'long', default: '0', min: 0 },
  'segment.ms': { type: 'long', default: '604800000', min: 1 },
  'unclean.leader.election.enable': { type: 'boolean', default: 'false' },
};

/** Numbers in DescribeConfigs (`ConfigDef.Type` as ConfigResponse has them). */
export const CONFIG_TYPE_IDS: Readonly<Record<ConfigType, number>> = {
  boolean: 1,
  string: 2,
  int: 3,
  long: 5,
  double: 6,
  list: 7,
};

export class TopicConfig {
  /** What was set, as against the defaults. */
  readonly overrides = new Map<string, string>();

  constructor(overrides: Readonly<Record<string, string>> = {}) {
    for (const [name, value] of Object.entries(overrides)) this.overrides.set(name, value);
  }

  text(name: string): string {
    return this.overrides.get(name) ?? TOPIC_CONFIGS[name]!.default;
  }

  number(name: string): number {
    return Number(this.text(name));
  }

  get isCompacted(): boolean {
    return this.text('cleanup.policy').split(',').includes('compact');
  }
}

/** Why a config cannot have this value; undefined where it can. */
export function configFault(name: string, value: string | null): string | undefined {
  const definition = TOPIC_CONFIGS[name];
  if (definition === undefined) return `Unknown topic config name: ${name}`;
  if (value === null) return `Null value not supported for topic configs: ${name}`;
  const { type, values, min } = definition;
  const parts = type === 'list' ? value.split(',').map((part) => part.trim()) : [value];
  if (values !== undefined && !parts.every((part) => values.includes(part)))
    return `Invalid value ${value} for configuration ${name}: must be one of ${values.join(', ')}`;
  if (type === 'boolean' && !/^(true|false)$/i.test(value)) return `Invalid value ${value} for configuration ${name}`;
  if (type === 'int' || type === 'long' || type === 'double') {
    const pattern = type === 'double' ? /^-?\d+(\.\d+)?$/ : /^-?\d+$/;
    if (!pattern.test(value))
      return `Invalid value ${value} for configuration ${name}: Not a number of type ${type.toUpperCase()}`;
    if (min !== undefined && Number(value) < min)
      return `Invalid value ${value} for configuration ${name}: Value must be at least ${min}`;
  }
  return undefined;
}

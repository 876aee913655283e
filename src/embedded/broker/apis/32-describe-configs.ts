/** DescribeConfigs v0 to v4: topics', and a few of the broker's. v1 has sources, v3 documentation (empty here), v4 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi, type RequestContext } from '../api.ts';
import {
  array,
  bool,
  int8,
  int16,
  int32,
  nullableArray,
  nullableString,
  since,
  string,
  struct,
  type ValueOf,
} from '../wire-types.ts';
import { ConfigSource, configEntries } from './config-entries.ts';

const resource = struct({ resourceType: int8, name: string, configNames: nullableArray(string) });

const request = struct({
  resources: array(resource),
  includeSynonyms: since(1, bool, false),
  includeDocumentation: since(3, bool, false),
});

const synonym = struct({ name: string, value: nullableString, source: int8 });

const response = struct({
  throttleTimeMs: int32,
  results: array(
    struct({
      errorCode: int16,
      errorMessage: nullableString,
      resourceType: int8,
      name: string,
      configs: array(
        struct({
          name: string,
          value: nullableString,
          readOnly: bool,
          isDefault: since(0, bool, false, 0),
          source: since(1, int8, -1),
          isSensitive: bool,
          synonyms: since(1, array(synonym), []),
          type: since(3, int8, 0),
          documentation: since(3, nullableString, null),
        }),
      ),
    }),
  ),
});

export const TOPIC_RESOURCE = 2;
export const BROKER_RESOURCE = 4;

export const describeConfigs = defineApi(
  request,
  response,
)({
  key: 32,
  name: 'DescribeConfigs',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 4,
  handle: ({ resources, includeSynonyms }, context) => ({
    throttleTimeMs: 0,
    results: resources.map((one) => describe(one, includeSynonyms, context)),
  }),
  fail: ({ resources }, errorCode) => ({
    throttleTimeMs: 0,
    results: resources.map((one) => refused(one, errorCode, null)),
  }),
});

function describe(one: ValueOf<typeof resource>, includeSynonyms: boolean, { broker, node }: RequestContext) {
  if (one.resourceType === BROKER_RESOURCE) {
    if (one.name !== '' && one.name !== String(node))
      return refused(one, ErrorCode.INVALID_REQUEST, `Unexpected broker id, expected ${node}`);
    return {
      ...refused(one, ErrorCode.NONE, null),
      configs: brokerEntries(broker.autoCreatesTopics, broker.defaultPartitions),
    };
  }
  if (one.resourceType !== TOPIC_RESOURCE)
    return refused(one, ErrorCode.INVALID_REQUEST, `Resource type ${one.resourceType} has no configs here.`);
  const topic = broker.topics.get(one.name);
  if (topic === undefined) return refused(one, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, null);
  return {
    ...refused(one, ErrorCode.NONE, null),
    configs: configEntries(topic.config, one.configNames ?? undefined).map((entry) => ({
      ...entry,
      synonyms: includeSynonyms ? [{ name: entry.name, value: entry.value, source: entry.source as number }] : [],
      documentation: null as string | null,
    })),
  };
}

function brokerEntries(autoCreate: boolean, partitions: number) {
  const values = {
    'auto.create.topics.enable': String(autoCreate),
    'num.partitions': String(partitions),
    'default.replication.factor': '1',
  };
  return Object.entries(values).map(([name, value]) => ({
    name,
    value,
    readOnly: true,
    isDefault: true,
    source: ConfigSource.DEFAULT as number,
    isSensitive: false,
    synonyms: [],
    type: 2,
    documentation: null,
  }));
}

type Entry = ValueOf<typeof response>['results'][number]['configs'][number];

function refused({ resourceType, name }: ValueOf<typeof resource>, errorCode: number, errorMessage: string | null) {
  const configs: readonly Entry[] = [];
  return { errorCode, errorMessage, resourceType, name, configs };
}

/** DescribeCluster v0 and v1, both flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { array, bool, int8, int16, int32, nullableString, since, string, struct } from '../wire-types.ts';

const UNKNOWN_OPERATIONS = -2_147_483_648;

const request = struct({ includeOperations: bool, endpointType: since(1, int8, 1) });

const response = struct({
  throttleTimeMs: int32,
  errorCode: int16,
  errorMessage: nullableString,
  endpointType: since(1, int8, 1),
  clusterId: string,
  controllerId: int32,
  brokers: array(struct({ nodeId: int32, host: string, port: int32, rack: nullableString })),
  operations: int32,
});

export const describeCluster = defineApi(
  request,
  response,
)({
  key: 60,
  name: 'DescribeCluster',
  minVersion: 0,
  maxVersion: 1,
  flexibleFrom: 0,
  handle(req, { broker, node, version }) {
    const { liveNodes, controllerId } = broker.cluster.imageFor(node);
    const brokers = liveNodes.map((nodeId) => ({ nodeId, ...broker.addressOf(nodeId), rack: null }));
    return { ...this.fail(req, ErrorCode.NONE, version), clusterId: broker.clusterId, controllerId, brokers };
  },
  fail: (_request, errorCode) => ({
    throttleTimeMs: 0,
    errorCode,
    errorMessage: null,
    endpointType: 1,
    clusterId: '',
    controllerId: -1,
    brokers: [] as readonly { nodeId: number; host: string; port: number; rack: string | null }[],
    operations: UNKNOWN_OPERATIONS,
  }),
});

/** FindCoordinator v0 to v4, for groups and transactions. v3 is flexible, v4 asks for several (KIP-699). */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { array, int8, int16, int32, nullableString, since, string, struct } from '../wire-types.ts';

const request = struct({
  key: since(0, string, '', 3),
  keyType: since(1, int8, 0),
  keys: since(4, array(string), []),
});

const response = struct({
  throttleTimeMs: since(1, int32, 0),
  errorCode: since(0, int16, 0, 3),
  errorMessage: since(1, nullableString, null, 3),
  nodeId: since(0, int32, -1, 3),
  host: since(0, string, '', 3),
  port: since(0, int32, -1, 3),
  coordinators: since(
    4,
    array(
      struct({ key: string, nodeId: int32, host: string, port: int32, errorCode: int16, errorMessage: nullableString }),
    ),
    [],
  ),
});

const GROUP = 0;
const TRANSACTION = 1;

export const findCoordinator = defineApi(
  request,
  response,
)({
  key: 10,
  name: 'FindCoordinator',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 3,
  handle(req, context) {
    if (req.keyType !== GROUP && req.keyType !== TRANSACTION)
      return this.fail(req, ErrorCode.INVALID_REQUEST, context.version);
    return {
      throttleTimeMs: 0,
      ...find(req.keyType, req.key, context),
      coordinators: req.keys.map((key) => ({ key, ...find(req.keyType, key, context) })),
    };
  },
  fail({ keys }, errorCode) {
    const nowhere = { ...NOWHERE, errorCode };
    return { throttleTimeMs: 0, ...nowhere, coordinators: keys.map((key) => ({ key, ...nowhere })) };
  },
});

const NOWHERE = { nodeId: -1, host: '', port: -1, errorCode: ErrorCode.NONE as number, errorMessage: null };

function find(keyType: number, id: string, { broker, node }: RequestContext) {
  const type = keyType === GROUP ? 'group' : 'transaction';
  const nodeId = broker.cluster.imageFor(node).coordinatorOf({ type, id });
  if (nodeId < 0) return { ...NOWHERE, errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE };
  return { ...NOWHERE, nodeId, ...broker.addressOf(nodeId) };
}

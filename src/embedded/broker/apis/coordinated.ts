/** For requests that only the coordinator of a group or of a transactional id answers. */
import { ErrorCode } from '../../../kafka/index.ts';
import type { RequestContext } from '../api.ts';

/** NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, or NONE where this node answers. No group has the empty id. */
export function groupFault({ broker, node }: RequestContext, groupId: string): number {
  return groupId === '' ? ErrorCode.NONE : broker.cluster.coordinatorFault({ type: 'group', id: groupId }, node);
}

/** The same for a transactional id; producers without one are anybody's. */
export function transactionFault({ broker, node }: RequestContext, transactionalId: string | null): number {
  if (transactionalId === null || transactionalId === '') return ErrorCode.NONE;
  return broker.cluster.coordinatorFault({ type: 'transaction', id: transactionalId }, node);
}

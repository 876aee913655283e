/** Replicas that a client chooses itself: the first of each partition leads it. The others have it anyway. */

/** The leaders; undefined where a partition has no replicas, one twice, or one that is no node. */
export function leadersOf(
  assignments: readonly (readonly number[])[],
  nodeIds: readonly number[],
): readonly number[] | undefined {
  const isFit = (brokers: readonly number[]): boolean =>
    brokers.length > 0 &&
    new Set(brokers).size === brokers.length &&
    brokers.every((broker) => nodeIds.includes(broker));
  return assignments.every(isFit) ? assignments.map((brokers) => brokers[0]!) : undefined;
}

export function assignmentFault(nodeIds: readonly number[]): string {
  return `Each partition takes replicas once each, of the brokers ${nodeIds.join(', ')}.`;
}

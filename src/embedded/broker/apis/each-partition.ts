/** An answer for each partition of a request, in the request's order. */
export function eachPartition<P, R>(
  topics: readonly { readonly name: string; readonly partitions: readonly P[] }[],
  answerTo: (partition: P, topic: string) => R,
) {
  return topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map((partition) => answerTo(partition, name)),
  }));
}

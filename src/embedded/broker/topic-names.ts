/** Which names a topic may have (`org.apache.kafka.common.internals.Topic`), with Kafka's words. */

const MAX_LENGTH = 249;
const LEGAL = /^[A-Za-z0-9._-]+$/;

/** Why a topic cannot have this name; undefined where it can. */
export function topicNameFault(name: string): string | undefined {
  const reason =
    name === ''
      ? 'the empty string is not allowed'
      : name === '.' || name === '..'
        ? `'${name}' is not allowed`
        : name.length > MAX_LENGTH
          ? `the length of '${name}' is longer than the max allowed length ${MAX_LENGTH}`
          : LEGAL.test(name)
            ? undefined
            : `'${name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'`;
  return reason === undefined ? undefined : `Topic name is invalid: ${reason}`;
}

/** Names that give the same are one name in Kafka's metrics, which have no periods: they cannot both be topics. */
export function metricName(topic: string): string {
  return topic.replaceAll('.', '_');
}

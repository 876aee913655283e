/** What the driver throws. Protocol errors carry the broker's error code; messages say where and what to do. */
import { type ErrorContext, MillraceError, type MillraceErrorOptions } from '../errors.ts';

/** Kafka's error codes that the driver or the embedded broker acts on, or names in a message (`org.apache.kafka.common.protocol.Errors`). */
export const ErrorCode = {
  UNKNOWN_SERVER_ERROR: -1,
  NONE: 0,
  OFFSET_OUT_OF_RANGE: 1,
  CORRUPT_MESSAGE: 2,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  LEADER_NOT_AVAILABLE: 5,
  NOT_LEADER_OR_FOLLOWER: 6,
  REQUEST_TIMED_OUT: 7,
  REPLICA_NOT_AVAILABLE: 9,
  MESSAGE_TOO_LARGE: 10,
  OFFSET_METADATA_TOO_LARGE: 12,
  NETWORK_EXCEPTION: 13,
  COORDINATOR_LOAD_IN_PROGRESS: 14,
  COORDINATOR_NOT_AVAILABLE: 15,
  NOT_COORDINATOR: 16,
  INVALID_TOPIC_EXCEPTION: 17,
  RECORD_LIST_TOO_LARGE: 18,
  NOT_ENOUGH_REPLICAS: 19,
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: 20,
  INVALID_REQUIRED_ACKS: 21,
  ILLEGAL_GENERATION: 22,
  INCONSISTENT_GROUP_PROTOCOL: 23,
  INVALID_GROUP_ID: 24,
  UNKNOWN_MEMBER_ID: 25,
  INVALID_SESSION_TIMEOUT: 26,
  REBALANCE_IN_PROGRESS: 27,
  TOPIC_AUTHORIZATION_FAILED: 29,
  GROUP_AUTHORIZATION_FAILED: 30,
  CLUSTER_AUTHORIZATION_FAILED: 31,
  INVALID_TIMESTAMP: 32,
  UNSUPPORTED_SASL_MECHANISM: 33,
  ILLEGAL_SASL_STATE: 34,
  UNSUPPORTED_VERSION: 35,
  TOPIC_ALREADY_EXISTS: 36,
  INVALID_PARTITIONS: 37,
  INVALID_REPLICATION_FACTOR: 38,
  INVALID_REPLICA_ASSIGNMENT: 39,
  INVALID_CONFIG: 40,
  NOT_CONTROLLER: 41,
  INVALID_REQUEST: 42,
  OUT_OF_ORDER_SEQUENCE_NUMBER: 45,
  DUPLICATE_SEQUENCE_NUMBER: 46,
  INVALID_PRODUCER_EPOCH: 47,
  INVALID_TXN_STATE: 48,
  INVALID_PRODUCER_ID_MAPPING: 49,
  INVALID_TRANSACTION_TIMEOUT: 50,
  CONCURRENT_TRANSACTIONS: 51,
  OPERATION_NOT_ATTEMPTED: 55,
  KAFKA_STORAGE_ERROR: 56,
  SASL_AUTHENTICATION_FAILED: 58,
  UNKNOWN_PRODUCER_ID: 59,
  NON_EMPTY_GROUP: 68,
  GROUP_ID_NOT_FOUND: 69,
  FENCED_LEADER_EPOCH: 74,
  UNKNOWN_LEADER_EPOCH: 75,
  UNSUPPORTED_COMPRESSION_TYPE: 76,
  OFFSET_NOT_AVAILABLE: 78,
  MEMBER_ID_REQUIRED: 79,
  GROUP_MAX_SIZE_REACHED: 81,
  FENCED_INSTANCE_ID: 82,
  GROUP_SUBSCRIBED_TO_TOPIC: 86,
  INVALID_RECORD: 87,
  UNSTABLE_OFFSET_COMMIT: 88,
  THROTTLING_QUOTA_EXCEEDED: 89,
  PRODUCER_FENCED: 90,
  UNKNOWN_TOPIC_ID: 100,
} as const;

const NAMES = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

const RETRIABLE = new Set<number>([
  ErrorCode.CORRUPT_MESSAGE,
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.LEADER_NOT_AVAILABLE,
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.REQUEST_TIMED_OUT,
  ErrorCode.REPLICA_NOT_AVAILABLE,
  ErrorCode.NETWORK_EXCEPTION,
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.NOT_COORDINATOR,
  ErrorCode.NOT_ENOUGH_REPLICAS,
  ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
  ErrorCode.NOT_CONTROLLER,
  ErrorCode.KAFKA_STORAGE_ERROR,
  ErrorCode.FENCED_LEADER_EPOCH,
  ErrorCode.UNKNOWN_LEADER_EPOCH,
  ErrorCode.OFFSET_NOT_AVAILABLE,
  ErrorCode.UNSTABLE_OFFSET_COMMIT,
  ErrorCode.THROTTLING_QUOTA_EXCEEDED,
  ErrorCode.CONCURRENT_TRANSACTIONS,
]);

/** The protocol's name of an error code, e.g. `NOT_COORDINATOR`. */
export function errorName(code: number): string {
  return NAMES.get(code) ?? `error ${code}`;
}

export class KafkaError extends MillraceError {}

/** A broker answered a request with an error code. */
export class KafkaProtocolError extends KafkaError {
  /** The protocol's error code, see {@link ErrorCode}. */
  readonly errorCode: number;

  constructor(errorCode: number, what: string, context: ErrorContext = {}, remedy = '') {
    super(
      'MILLRACE_KAFKA_PROTOCOL',
      `${what}: the broker answered ${errorName(errorCode)}.${remedy === '' ? '' : ` ${remedy}`}`,
      { retriable: RETRIABLE.has(errorCode), context },
    );
    this.errorCode = errorCode;
  }
}

/** True where trying again cannot mend it. What is no KafkaError is none of the broker's, and is tried again. */
export function isFinal(error: unknown): error is KafkaError {
  return error instanceof KafkaError && !error.retriable;
}

/** No connection, a connection that broke, a request that timed out. */
export class KafkaConnectionError extends KafkaError {
  constructor(message: string, cause?: unknown) {
    super('MILLRACE_KAFKA_CONNECTION', message, { retriable: true, cause });
  }
}

/** The login was refused. At the start that is final; a client that runs rides it out, as a password may be on its way. */
export class KafkaAuthenticationError extends KafkaError {
  constructor(message: string, cause?: unknown) {
    super('MILLRACE_KAFKA_AUTHENTICATION', message, { retriable: true, cause });
  }
}

/** Record data that is damaged, too large or of an unknown form; never loops: the position stays at the batch. */
export class CorruptRecordError extends KafkaError {
  constructor(what: string, context: ErrorContext, options: MillraceErrorOptions = {}) {
    super(
      'MILLRACE_KAFKA_CORRUPT_RECORD',
      `Corrupt record batch in ${context.topic ?? '?'}-${context.partition ?? '?'} at offset ${context.offset ?? '?'}: ${what}. ` +
        'The data on the broker or on the way here is damaged; to go on behind it, set the group offset past the batch.',
      { ...options, context },
    );
  }
}

/** Message formats v0 and v1, which brokers stopped writing with Kafka 3.0 at the latest. */
export class UnsupportedMessageFormatError extends KafkaError {
  constructor(magic: number, context: ErrorContext) {
    super(
      'MILLRACE_KAFKA_UNSUPPORTED_MESSAGE_FORMAT',
      `Message format ${magic} in ${context.topic ?? '?'}-${context.partition ?? '?'} at offset ${context.offset ?? '?'}: ` +
        'only format 2 (Kafka 0.11 and later) is read. Set message.format.version of the topic to 3.0 and rewrite its records.',
      { context },
    );
  }
}

/** A record could not be written; says which one. */
export class ProduceError extends KafkaError {
  constructor(code: string, message: string, options: MillraceErrorOptions = {}) {
    super(code, message, options);
  }
}

/** This member lost its place in the group; its partitions belong to others and nothing of it may be committed. */
export class MemberFencedError extends KafkaError {
  constructor(message: string, cause?: unknown) {
    super('MILLRACE_KAFKA_MEMBER_FENCED', message, { retriable: true, cause });
  }
}

export class OffsetOutOfRangeError extends KafkaError {
  constructor(topic: string, partition: number, offset: number) {
    super(
      'MILLRACE_KAFKA_OFFSET_OUT_OF_RANGE',
      `No committed offset that the log of ${topic}-${partition} still holds (position ${offset}), and the offset reset ` +
        "policy is 'none'. Set the group's offset, or the policy to 'earliest' or 'latest'.",
      { context: { topic, partition, offset } },
    );
  }
}

/** The log was cut off behind the position: records that were read are gone, as after an unclean leader election. */
export class LogTruncatedError extends KafkaError {
  /** Where the log diverges from what was read; −1: not known. */
  readonly divergence: number;

  constructor(topic: string, partition: number, offset: number, divergence: number) {
    super(
      'MILLRACE_KAFKA_LOG_TRUNCATED',
      `The log of ${topic}-${partition} was truncated ${divergence < 0 ? 'before' : `at offset ${divergence}, below`} the ` +
        `position ${offset}: records that were read are gone, as after an unclean leader election. The offset reset policy ` +
        "is 'none': set the group's offset, or the policy to 'earliest' or 'latest'.",
      { context: { topic, partition, offset } },
    );
    this.divergence = divergence;
  }
}

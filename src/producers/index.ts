/**
 * For services that write to the platform's topics without a topology. Read kafka-producer-service.ts first: it takes the
 * calls; encoding is record-encoder.ts, waiting for room and answers record-sender.ts, the rest is the driver's producer.
 */
export {
  BatchDeliveryError,
  type DeliveredRecord,
  DeliveryError,
  InvalidRecordError,
  ProducerServiceError,
} from './errors.ts';
export type { AnomalyInput, MetricInput, OutgoingRecord, PredictionInput, RecordKind } from './inputs.ts';
export { KafkaProducerService } from './kafka-producer-service.ts';
export type { ProducerServiceOptions, ProducerTopicNames } from './options.ts';

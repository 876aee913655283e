/** Gets producer ids: a broker that is coming up is asked again. */
import { Backoff } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import { monotonicMs } from '../monotonic.ts';
import type { KafkaCluster } from './cluster.ts';
import { ErrorCode, isFinal, KafkaProtocolError } from './errors.ts';
import type { Identity } from './producer-partition.ts';
import { initProducerIdRequest } from './requests/admin.ts';

/** Of transactions, which there are none of; the field has to be filled. */
const TRANSACTION_TIMEOUT_MS = 60_000;

export async function newProducerId(cluster: Pick<KafkaCluster, 'sendToAny'>): Promise<Identity> {
  const answer = await cluster.sendToAny(initProducerIdRequest(null, TRANSACTION_TIMEOUT_MS));
  if (answer.errorCode !== ErrorCode.NONE) throw new KafkaProtocolError(answer.errorCode, 'Getting a producer id');
  return { producerId: answer.producerId, producerEpoch: answer.producerEpoch };
}

export interface ProducerIdOptions {
  /** Ends the tries. */
  readonly signal: AbortSignal;
  /** ms for which errors that pass are ridden out. Default: for ever. */
  readonly timeoutMs?: number;
}

/** @throws KafkaError what is not retriable, or the last try's */
export async function untilProducerId(
  cluster: Pick<KafkaCluster, 'sendToAny' | 'logger'>,
  { signal, timeoutMs = Number.POSITIVE_INFINITY }: ProducerIdOptions,
): Promise<Identity> {
  const backoff = new Backoff();
  const deadline = monotonicMs() + timeoutMs;
  for (;;) {
    try {
      return await newProducerId(cluster);
    } catch (error) {
      if (isFinal(error) || signal.aborted || monotonicMs() > deadline) throw error;
      cluster.logger[backoff.attempt < 3 ? 'debug' : 'warn'](
        { error: messageOf(error) },
        'getting a producer id failed, trying again',
      );
      await backoff.wait(signal);
    }
  }
}

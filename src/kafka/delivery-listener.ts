/** Who is told what became of single records. The stream thread asks for none: it waits for everything, or fails. */
import type { KafkaError } from './errors.ts';

/** Of one record: one of its methods is called, once, within the turn of the answer. They must not throw. */
export interface DeliveryListener {
  /**
   * All in-sync replicas have it.
   * @param offset −1 where the broker did not say: it recognised a repetition, and not which
   */
  delivered(partition: number, offset: number): void;
  /**
   * It was given up.
   * @param partition undefined where it was not chosen yet
   * @param mayBeWritten the last of it is not known: a try was not answered, or in a way that leaves it open
   */
  failed(error: KafkaError, partition: number | undefined, mayBeWritten: boolean): void;
}

/** By a record's place in its batch. */
export type DeliveryListeners = readonly (DeliveryListener | undefined)[];

export function tellDelivered(listeners: DeliveryListeners, partition: number, baseOffset: number): void {
  for (const [i, listener] of listeners.entries()) listener?.delivered(partition, baseOffset < 0 ? -1 : baseOffset + i);
}

export function tellFailed(
  listeners: DeliveryListeners = [],
  error: KafkaError,
  partition: number,
  mayBeWritten: boolean,
): void {
  for (const listener of listeners) listener?.failed(error, partition, mayBeWritten);
}

/** One answer for many records: when the last is settled. */
import { BatchDeliveryError, type DeliveredRecord, type DeliveryError } from './errors.ts';
import type { OutgoingRecord } from './inputs.ts';

export class BatchOutcome {
  readonly done: Promise<DeliveredRecord[]>;
  readonly #records: readonly OutgoingRecord[];
  readonly #delivered: (DeliveredRecord | undefined)[];
  readonly #failures: DeliveryError[] = [];
  #left: number;
  #resolve: (delivered: DeliveredRecord[]) => void = () => {};
  #reject: (error: BatchDeliveryError) => void = () => {};

  constructor(records: readonly OutgoingRecord[]) {
    this.#records = records;
    this.#left = records.length;
    this.#delivered = new Array<DeliveredRecord | undefined>(records.length).fill(undefined);
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (records.length === 0) this.#resolve([]);
  }

  delivered(index: number, where: DeliveredRecord): void {
    this.#delivered[index] = where;
    this.#settled();
  }

  failed(error: DeliveryError): void {
    this.#failures.push(error);
    this.#settled();
  }

  #settled(): void {
    if (--this.#left > 0) return;
    if (this.#failures.length === 0) {
      this.#resolve(this.#delivered as DeliveredRecord[]);
      return;
    }
    const inOrder = this.#failures.sort((a, b) => a.index! - b.index!);
    this.#reject(new BatchDeliveryError(this.#records, inOrder, this.#delivered));
  }
}

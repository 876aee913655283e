/** The states of an application and which may follow which. Mirrors `KafkaStreams.State`. */
import { messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';

/** `ERROR`: the application stopped by itself, see the uncaught-error handler. */
export type KafkaStreamsState =
  | 'CREATED'
  | 'REBALANCING'
  | 'RUNNING'
  | 'PENDING_SHUTDOWN'
  | 'NOT_RUNNING'
  | 'PENDING_ERROR'
  | 'ERROR';

export type StateListener = (next: KafkaStreamsState, previous: KafkaStreamsState) => void;

/** `REBALANCING` begins with `start()`; what ended stays ended. */
export const TRANSITIONS: Readonly<Record<KafkaStreamsState, readonly KafkaStreamsState[]>> = {
  CREATED: ['REBALANCING', 'PENDING_SHUTDOWN'],
  REBALANCING: ['RUNNING', 'PENDING_SHUTDOWN', 'PENDING_ERROR'],
  RUNNING: ['REBALANCING', 'PENDING_SHUTDOWN', 'PENDING_ERROR'],
  PENDING_SHUTDOWN: ['NOT_RUNNING'],
  NOT_RUNNING: [],
  PENDING_ERROR: ['ERROR'],
  ERROR: [],
};

export class Lifecycle {
  listener: StateListener | undefined;
  readonly #logger: Logger;
  #state: KafkaStreamsState = 'CREATED';

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get state(): KafkaStreamsState {
    return this.#state;
  }

  /** @returns false where the state may not follow the one that is: nothing has changed then */
  to(next: KafkaStreamsState): boolean {
    const previous = this.#state;
    if (!TRANSITIONS[previous].includes(next)) return false;
    this.#state = next;
    this.#logger.info({ from: previous, to: next }, 'state changed');
    try {
      this.listener?.(next, previous);
    } catch (error) {
      this.#logger.error({ from: previous, to: next }, `The state listener threw: ${messageOf(error)}`);
    }
    return true;
  }
}

/** What is done about records that fail: of sources, operators and sinks alike. */
import { type ErrorPolicy, TopologyError } from '../topology/index.ts';

export interface ErrorOptions {
  /**
   * What is done about a record that fails here: `fail` stops the application with the error (default), `continue` drops the
   * record, counted and logged, to the dead letter topic if there is one. What fails elsewhere is not caught here, nor what
   * would fail at every record (a store, a broker).
   */
  readonly onError?: 'fail' | 'continue';
  /**
   * Where records go that are dropped here: the source's bytes, with headers that say why, where from and after how many tries
   * (KIP-1034). Default: the application's `deadLetterTopic`. Without an `onError`, it means `continue`.
   */
  readonly deadLetterTopic?: string;
}

/** @returns undefined where nothing was said @throws TopologyError MILLRACE_TOPOLOGY_INVALID_OPTION */
export function errorPolicyOf({ onError, deadLetterTopic }: ErrorOptions, node: string): ErrorPolicy | undefined {
  if (onError === undefined && deadLetterTopic === undefined) return undefined;
  const response = onError ?? 'continue';
  if (response !== 'fail' && response !== 'continue')
    throw invalidOption(node, `onError is '${response}', it must be 'fail' or 'continue'`);
  if (response === 'fail' && deadLetterTopic !== undefined)
    throw invalidOption(node, "a deadLetterTopic with onError 'fail', which drops nothing; leave one of them out");
  if (deadLetterTopic === '') throw invalidOption(node, "deadLetterTopic is '', leave it out for none");
  return { response, deadLetterTopic };
}

export function invalidOption(node: string, fault: string): TopologyError {
  return new TopologyError('MILLRACE_TOPOLOGY_INVALID_OPTION', `${node}: ${fault}.`, { node });
}

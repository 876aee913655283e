/**
 * What comes back from functions of the user's. The record path awaits nothing: a promise there would be written as `{}`
 * or take effect after the commit, so it is refused; the types refuse it too. And undefined is null everywhere.
 */
import { TopologyError } from './errors.ts';

/**
 * Hot. The result of a function of the user's: what it is, undefined as null.
 * @param node the operator's name, for the message
 * @throws TopologyError MILLRACE_TOPOLOGY_ASYNC_USER_CODE the result is a promise
 */
export function resultOf<T>(result: T, node: string): T {
  if (result === undefined) return null as T;
  if (typeof result === 'object' && result !== null && typeof (result as { then?: unknown }).then === 'function')
    refuse(result, node);
  return result;
}

/**
 * Hot. A predicate's answer; what is no boolean counts as JavaScript has it.
 * @throws TopologyError MILLRACE_TOPOLOGY_ASYNC_USER_CODE the answer is a promise
 */
export function answerOf(answer: boolean, node: string): boolean {
  if (answer === true || answer === false) return answer;
  return Boolean(resultOf<unknown>(answer, node));
}

function refuse(promise: unknown, node: string): never {
  // Nobody awaits it: without this its rejection would end the process besides.
  Promise.resolve(promise).catch(() => {});
  throw new TopologyError(
    'MILLRACE_TOPOLOGY_ASYNC_USER_CODE',
    `A function of ${node} returned a promise, and a record waits for none: what it does would come after the commit. ` +
      'Make it synchronous, or use mapAsync() for a call a record and forEachBatch() for a batch; punctuators may be asynchronous.',
    { node },
  );
}

/** What is `any` asks for nothing; so does a type parameter, which TypeScript takes for `any` where it asks whether a type fits. */
type Asynchrony<R> = [0] extends [1 & R]
  ? 'any'
  : [Extract<R, PromiseLike<unknown>>] extends [never]
    ? 'none'
    : 'promise';

/**
 * In the place of a function's result, beside it: `R & Sync<R>`. Nothing is asked of a result that is no promise, and of
 * one of a generic type; where there is a promise, the error reads as the sentence.
 */
export type Sync<R> =
  Asynchrony<R> extends 'promise'
    ? 'This function is not awaited: it must not be asynchronous. mapAsync and forEachBatch are.'
    : unknown;

/** What a function may return whose result nobody looks at: anything but a promise. */
export type Unused =
  // biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing is the usual case
  | void
  | undefined
  | null
  | string
  | number
  | bigint
  | boolean
  | symbol
  | (object & {
      readonly then?: 'This function is not awaited: it must not be asynchronous. mapAsync and forEachBatch are.';
    });

/** The values of a stream whose function gives T: undefined is null. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing gives null
export type NullFor<T> = undefined extends T ? Exclude<T, undefined | void> | null : T;

/** What asynchronous operators throw. */
import { type ErrorContext, MillraceError, messageOf } from '../errors.ts';

/** An asynchronous function did not do what it was called for, after every try that its retry policy allows. */
export class AsynchronousError extends MillraceError {
  /** How often it was tried. */
  readonly attempts: number;

  constructor(code: string, message: string, options: { cause: unknown; attempts: number; context: ErrorContext }) {
    super(code, message, { cause: options.cause, context: options.context });
    this.attempts = options.attempts;
  }
}

export function callFailed(error: unknown, attempts: number, at: string, context: ErrorContext): AsynchronousError {
  return new AsynchronousError(
    'MILLRACE_PROCESSORS_CALL_FAILED',
    `${context.node} failed on the record${at} (task ${context.taskId}), ${triesText(attempts)}: ${messageOf(error)} ` +
      "See the cause; to go on behind such records set onError to 'continue', and deadLetterTopic to keep them.",
    { cause: error, attempts, context },
  );
}

export function batchFailed(error: unknown, attempts: number, records: number, context: ErrorContext) {
  return new AsynchronousError(
    'MILLRACE_PROCESSORS_BATCH_FAILED',
    `${context.node} failed on a batch of ${records} records (task ${context.taskId}), ${triesText(attempts)}: ` +
      `${messageOf(error)} See the cause; to wait longer for what recovers by itself, raise maxAttempts or maxElapsedMs of its retry.`,
    { cause: error, attempts, context },
  );
}

export function noDeadLetterTopic(context: ErrorContext): MillraceError {
  return new MillraceError(
    'MILLRACE_PROCESSORS_NO_DEAD_LETTER_TOPIC',
    `${context.node} was asked to write a dead letter, and has no topic for it. Give it a deadLetterTopic, or the application one.`,
    { context },
  );
}

function triesText(attempts: number): string {
  return attempts === 1 ? 'at the first try' : `after ${attempts} tries`;
}

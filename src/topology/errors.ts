/** What building and checking a topology throws. */
import { type ErrorContext, MillraceError } from '../errors.ts';

export class TopologyError extends MillraceError {
  constructor(code: string, message: string, context: ErrorContext = {}) {
    super(code, message, { context });
  }
}

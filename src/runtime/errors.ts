/** What the runtime throws, or hands to the uncaught-error handler. */
import { MillraceError } from '../errors.ts';

export class StreamsError extends MillraceError {}

/** What the tools for tests throw. */
import { MillraceError } from '../errors.ts';

export class TestDriverError extends MillraceError {}

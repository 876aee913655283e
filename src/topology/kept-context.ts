/** What a write remembers of where it came from, without the record: a dirty entry may wait for long. */
import type { Header } from '../headers.ts';
import type { ProcessingContext } from './processor.ts';

class KeptContext implements ProcessingContext {
  topic!: string | null;
  partition!: number;
  offset!: number;
  timestamp!: number;
  headers!: readonly Header[];
}

/** Hot. @param kept what an earlier call gave; it is used again */
export function keepContext(context: ProcessingContext, kept: ProcessingContext | undefined): ProcessingContext {
  const copy = kept instanceof KeptContext ? kept : new KeptContext();
  copy.topic = context.topic;
  copy.partition = context.partition;
  copy.offset = context.offset;
  copy.timestamp = context.timestamp;
  copy.headers = context.headers;
  return copy;
}

/**
 * How a table's updates go downstream: one by one, or, where its store caches, with each flush the last update per key,
 * in the context of that update. Mirrors TimestampedTupleForwarder and TimestampedCacheFlushListener.
 */
import type { LiveEntry, LiveStore } from '../state/index.ts';
import { type Change, type InternalProcessorContext, type ProcessingContext, StreamRecord } from '../topology/index.ts';

/** Connects a caching store's flushes to the node's children; returns whether the store caches. */
export function forwardFlushes<K, V, KOut>(
  store: LiveStore<K, V, ProcessingContext>,
  context: InternalProcessorContext<KOut, Change<V>>,
  keyOf: (entry: LiveEntry<K, V, ProcessingContext>) => KOut,
): boolean {
  if (!store.description.cachingEnabled) return false;
  store.onFlush = (entry) => {
    const write = entry.context!;
    const timestamp = entry.value === null ? write.timestamp : entry.timestamp;
    context.withContext(write, () =>
      context.forward(
        new StreamRecord(keyOf(entry), { newValue: entry.value, oldValue: null }, timestamp, write.headers),
      ),
    );
  };
  return true;
}

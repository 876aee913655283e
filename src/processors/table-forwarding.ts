/**
 * How a table's updates go downstream: one by one, or, where its store caches, with each flush the last update per key,
 * in the context of that update. Mirrors TimestampedTupleForwarder and TimestampedCacheFlushListener.
 */
import type { LiveStore } from '../state/index.ts';
import { type Change, type InternalProcessorContext, type ProcessingContext, StreamRecord } from '../topology/index.ts';

/** Connects a caching store's flushes to the node's children; returns whether the store caches. */
export function forwardFlushes<K, V, KOut>(
  store: LiveStore<K, V, ProcessingContext>,
  context: InternalProcessorContext<KOut, Change<V>>,
  keyOf: (key: K, windowStartMs: number) => KOut,
): boolean {
  if (!store.description.cachingEnabled) return false;
  store.givesAway = context.exposesValues;
  store.onFlush = (key, windowStartMs, newValue, timestamp, write) => {
    context.withContext(write, () =>
      context.forward(
        new StreamRecord(keyOf(key, windowStartMs), { newValue, oldValue: null }, timestamp, write.headers),
      ),
    );
  };
  return true;
}

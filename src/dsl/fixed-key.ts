/** The processor of `processValues`: what it forwards must have the key it was given. Mirrors FixedKeyProcessor. */
import { type Processor, type ProcessorContext, type StreamRecord, TopologyError } from '../topology/index.ts';

export function fixedKey<K, V, V2>(inner: Processor<K, V, K, V2>): Processor<K, V, K, V2> {
  let current: { readonly key: K } | undefined;
  return {
    init(context) {
      const guarded: ProcessorContext<K, V2> = Object.create(context, {
        forward: {
          value: (record: StreamRecord<K, V2>, child?: string) => {
            if (current !== undefined && record.key !== current.key) {
              throw new TopologyError(
                'MILLRACE_TOPOLOGY_KEY_CHANGED',
                'A processor of processValues() forwarded a record under another key. Use process() for that.',
              );
            }
            context.forward(record, child);
          },
        },
      });
      inner.init?.(guarded);
    },
    process(record) {
      current = record;
      inner.process(record);
      current = undefined;
    },
    close: () => inner.close?.(),
  };
}

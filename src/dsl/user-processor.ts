/** A processor of the user's: nothing waits for its methods, so what is asynchronous is refused. */
import { type Processor, resultOf } from '../topology/index.ts';

/** @throws TopologyError MILLRACE_TOPOLOGY_ASYNC_USER_CODE the processor itself is a promise */
export function userProcessor<KIn, VIn, KOut, VOut>(
  inner: Processor<KIn, VIn, KOut, VOut>,
  node: string,
): Processor<KIn, VIn, KOut, VOut> {
  resultOf(inner, node);
  return {
    init(context) {
      resultOf(inner.init?.(context), node);
    },
    process(record) {
      resultOf(inner.process(record), node);
    },
    close() {
      resultOf(inner.close?.(), node);
    },
  };
}

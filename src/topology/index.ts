/** The graph under the DSL: nodes, sub-topologies, describe(), and the Processor API's types. Read nodes.ts first. */
export * from './asynchronous.ts';
export * from './errors.ts';
export { keepContext } from './kept-context.ts';
export * from './nodes.ts';
export * from './processor.ts';
export { type SubTopology, Topology, TopologyBuilder } from './topology.ts';
export * from './user-code.ts';

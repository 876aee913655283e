/** Bytes to values and back. Read serde.ts first; avro.ts has the schema registry's wire format. */
export { avro, avroFields } from './avro.ts';
export { type AvroOrJsonOptions, avroOrJson } from './avro-or-json.ts';
export type { AvroSchema, AvroType } from './avro-types.ts';
export * from './errors.ts';
export { type RegisteredSchema, SchemaRegistry, type SchemaRegistryOptions } from './schema-registry.ts';
export * from './serde.ts';
export { timeWindowed, type Window, type Windowed } from './windowed.ts';

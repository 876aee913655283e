/** A value's bytes, for clients that take a Buffer. */
import { ByteWriter, type Serde } from '../../index.ts';

const scratch = new ByteWriter(1024);

/** Await the serde's `prepareWrite` before the first call. */
export function encode<T>(serde: Serde<T>, value: T, topic: string): Buffer {
  scratch.reset();
  serde.write(value, scratch, topic, 'value');
  return scratch.copy();
}

/** Buffers that batches are built in, used again once the broker has the batch: new ones cost the system's pages each time. */
import { ByteWriter } from '../bytes.ts';

/** Smaller buffers are not worth keeping. */
const LEAST_BYTES = 32 * 1024;
/** Bytes kept at most. */
const KEPT_BYTES = 8 * 1024 * 1024;

export class WriterPool {
  readonly #free: ByteWriter[] = [];
  #bytes = 0;

  /** An empty writer with room for at least `bytes`. */
  take(bytes: number): ByteWriter {
    const last = this.#free.at(-1);
    if (bytes < LEAST_BYTES || last === undefined || last.buffer.length < bytes) return new ByteWriter(bytes);
    this.#free.pop();
    this.#bytes -= last.buffer.length;
    last.reset();
    return last;
  }

  /** Nothing may read the writer's buffer any more. */
  give(writer: ByteWriter): void {
    const { length } = writer.buffer;
    if (length < LEAST_BYTES || this.#bytes + length > KEPT_BYTES) return;
    this.#bytes += length;
    this.#free.push(writer);
  }
}

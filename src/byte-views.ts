/**
 * Views that read and write four bytes at a time. Making one for a buffer costs more than a short copy, so the record
 * path says which two buffers it works on: the fetched one it reads and the scratch one it writes.
 */

const NOTHING = new Uint8Array(0);

let readBuffer: Uint8Array = NOTHING;
let readView: DataView = new DataView(NOTHING.buffer);
let writtenBuffer: Uint8Array = NOTHING;
let writtenView: DataView = readView;

/** Hot. Records are being read from this buffer. */
export function nowReading(buffer: Uint8Array, view: DataView): void {
  readBuffer = buffer;
  readView = view;
}

/** Hot. Records are being serialised into this buffer. */
export function nowWriting(buffer: Uint8Array, view: DataView): void {
  writtenBuffer = buffer;
  writtenView = view;
}

/** Hot. The buffer's view where it is one of the two; undefined: make one, or go byte by byte. */
export function knownView(buffer: Uint8Array): DataView | undefined {
  return buffer === readBuffer ? readView : buffer === writtenBuffer ? writtenView : undefined;
}

export function viewOf(buffer: Uint8Array): DataView {
  return knownView(buffer) ?? new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** Below this a copy word by word beats the call into native code. */
const SHORT_BYTES = 160;

/** Hot. Copies a range, which must be within both buffers. */
export function copyRange(
  source: Uint8Array,
  start: number,
  end: number,
  target: Buffer,
  targetView: DataView,
  at: number,
): void {
  const view = end - start <= SHORT_BYTES ? knownView(source) : undefined;
  if (view === undefined) {
    target.set(source.subarray(start, end), at);
    return;
  }
  let from = start;
  let to = at;
  for (; from + 8 <= end; from += 8, to += 8) {
    targetView.setInt32(to, view.getInt32(from));
    targetView.setInt32(to + 4, view.getInt32(from + 4));
  }
  for (; from < end; from++) targetView.setUint8(to++, view.getUint8(from));
}

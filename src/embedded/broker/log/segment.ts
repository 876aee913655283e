/**
 * A part of a partition's log: batches as they came, one behind the other, in a file or in memory, with an index of them
 * that is built by walking the file at start. Writes go to the system at once: what was appended survives the process,
 * though not a power cut. A batch that is cut off or damaged at the end of the last segment is dropped at start.
 *
 *     <dataDir>/topics/<topic>/<partition>/<base offset, 20 digits>.log
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CorruptRecordError, RecordBatch } from '../../../kafka/index.ts';
import { appendWhole } from '../storage.ts';
import type { TopicConfig } from '../topic-config.ts';
import { leaderEpochOf } from './record-set.ts';

/** What is remembered of a batch. */
export interface BatchEntry {
  readonly baseOffset: number;
  readonly lastOffset: number;
  /** In the segment. */
  readonly position: number;
  readonly sizeBytes: number;
  readonly maxTimestamp: number;
  readonly leaderEpoch: number;
}

/** Where a segment's bytes are. */
interface SegmentBytes {
  readonly size: number;
  append(bytes: Buffer): void;
  /** Whole batches, without a copy where they are in memory. */
  read(entries: readonly BatchEntry[]): readonly Buffer[];
  /** Only the first `size` bytes stay: whole batches. */
  truncate(size: number): void;
  close(): void;
  remove(): void;
}

export class Segment {
  readonly baseOffset: number;
  readonly entries: BatchEntry[] = [];
  /** When its first batch was appended, ms since the epoch; a restart counts anew. */
  readonly createdMs: number;
  maxTimestamp = -1;
  #bytes: SegmentBytes;
  readonly #folder: string | undefined;

  private constructor(baseOffset: number, createdMs: number, bytes: SegmentBytes, folder: string | undefined) {
    this.baseOffset = baseOffset;
    this.createdMs = createdMs;
    this.#bytes = bytes;
    this.#folder = folder;
  }

  /** @param folder undefined: in memory */
  static create(baseOffset: number, createdMs: number, folder: string | undefined): Segment {
    const bytes = folder === undefined ? new MemoryBytes() : new FileBytes(pathOf(folder, baseOffset));
    return new Segment(baseOffset, createdMs, bytes, folder);
  }

  /**
   * Opens a file and walks its batches.
   * @param isLast of the log: what is cut off or damaged at its end was never acknowledged
   */
  static open(
    folder: string,
    baseOffset: number,
    nowMs: number,
    isLast: boolean,
    visit: (batch: RecordBatch) => void,
  ): Segment {
    const bytes = new FileBytes(pathOf(folder, baseOffset));
    const segment = new Segment(baseOffset, nowMs, bytes, folder);
    bytes.walk(isLast, (batch, position, leaderEpoch) => {
      segment.#index(batch, position, leaderEpoch);
      visit(batch);
    });
    return segment;
  }

  get sizeBytes(): number {
    return this.#bytes.size;
  }

  /** The offset behind the last batch. */
  get endOffset(): number {
    const last = this.entries.at(-1);
    return last === undefined ? this.baseOffset : last.lastOffset + 1;
  }

  /** True where the next batch begins another segment: too many bytes, or too old. */
  isFullFor(bytes: Buffer, config: TopicConfig, nowMs: number): boolean {
    if (this.entries.length === 0) return false;
    if (this.sizeBytes + bytes.length > config.number('segment.bytes')) return true;
    // Age is told by the records' own time where they have one, as in Kafka.
    const first = this.entries[0]!.maxTimestamp;
    const newest = Number(bytes.readBigInt64BE(35));
    const ageMs = first >= 0 && newest >= 0 ? newest - first : nowMs - this.createdMs;
    return ageMs > config.number('segment.ms');
  }

  append(batch: RecordBatch, bytes: Buffer): void {
    const position = this.#bytes.size;
    this.#bytes.append(bytes);
    this.#index(batch, position, leaderEpochOf(bytes));
  }

  /** Batches that reach to `offset` or behind it are gone. */
  truncateTo(offset: number): void {
    const kept = this.indexOf(offset);
    if (kept === this.entries.length) return;
    this.#bytes.truncate(this.entries[kept]!.position);
    this.entries.length = kept;
    this.maxTimestamp = this.entries.reduce((max, entry) => Math.max(max, entry.maxTimestamp), -1);
  }

  /** The first batch that reaches to `offset` or behind it, by its place in `entries`. */
  indexOf(offset: number): number {
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle]!.lastOffset < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  read(entries: readonly BatchEntry[]): readonly Buffer[] {
    return entries.length === 0 ? [] : this.#bytes.read(entries);
  }

  /** A batch to walk; the data was checked when it was appended. */
  batch(entry: BatchEntry): RecordBatch {
    return new RecordBatch(this.read([entry])[0]!, 0, { topic: '', partition: 0 }, { checkCrc: false });
  }

  /** The same segment with other batches: what compaction leaves. */
  replaced(batches: readonly Buffer[]): Segment {
    const folder = this.#folder;
    const path = folder === undefined ? undefined : pathOf(folder, this.baseOffset);
    const bytes = path === undefined ? new MemoryBytes() : new FileBytes(`${path}.cleaned`);
    const next = new Segment(this.baseOffset, this.createdMs, bytes, folder);
    try {
      for (const batch of batches)
        next.append(new RecordBatch(batch, 0, { topic: '', partition: 0 }, { checkCrc: false }), batch);
    } catch (error) {
      next.remove();
      throw error;
    }
    if (path !== undefined) {
      this.close();
      renameSync(`${path}.cleaned`, path);
    }
    return next;
  }

  close(): void {
    this.#bytes.close();
  }

  remove(): void {
    this.#bytes.remove();
  }

  #index(batch: RecordBatch, position: number, leaderEpoch: number): void {
    const { baseOffset, lastOffset, sizeBytes, maxTimestamp } = batch;
    this.entries.push({ baseOffset, lastOffset, position, sizeBytes, maxTimestamp, leaderEpoch });
    if (maxTimestamp > this.maxTimestamp) this.maxTimestamp = maxTimestamp;
  }
}

/** The base offsets of the segments in a folder's file names, ascending. */
export function segmentOffsets(names: readonly string[]): number[] {
  return names
    .filter((name) => /^\d{20}\.log$/.test(name))
    .map((name) => Number(name.slice(0, 20)))
    .sort((a, b) => a - b);
}

function pathOf(folder: string, baseOffset: number): string {
  return join(folder, `${String(baseOffset).padStart(20, '0')}.log`);
}

class MemoryBytes implements SegmentBytes {
  size = 0;
  readonly #batches = new Map<number, Buffer>();

  append(bytes: Buffer): void {
    // A view would keep the whole request.
    this.#batches.set(this.size, Buffer.from(bytes));
    this.size += bytes.length;
  }

  read(entries: readonly BatchEntry[]): readonly Buffer[] {
    return entries.map(({ position }) => this.#batches.get(position)!);
  }

  truncate(size: number): void {
    for (const position of [...this.#batches.keys()]) if (position >= size) this.#batches.delete(position);
    this.size = size;
  }

  close(): void {}

  remove(): void {
    this.#batches.clear();
  }
}

type BatchVisitor = (batch: RecordBatch, position: number, leaderEpoch: number) => void;

/** Bytes read at once while a file is walked. */
const WALK_BYTES = 4 * 1024 * 1024;
const HEADER_BYTES = 12;

class FileBytes implements SegmentBytes {
  size: number;
  readonly #path: string;
  readonly #file: number;
  #isOpen = true;

  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, 'a+');
    this.size = fstatSync(this.#file).size;
  }

  append(bytes: Buffer): void {
    appendWhole(this.#file, bytes, this.size);
    this.size += bytes.length;
  }

  read(entries: readonly BatchEntry[]): readonly Buffer[] {
    const from = entries[0]!.position;
    const last = entries.at(-1)!;
    return [this.#range(from, last.position + last.sizeBytes - from)];
  }

  truncate(size: number): void {
    ftruncateSync(this.#file, size);
    this.size = size;
  }

  /** Visits every batch; cuts the file behind the last good one where that is allowed. */
  walk(mayCut: boolean, visit: BatchVisitor): void {
    let position = 0;
    try {
      while (position < this.size) {
        if (this.size - position < HEADER_BYTES) throw new CorruptRecordError('cut off', {});
        const head = this.#range(position, HEADER_BYTES);
        const sizeBytes = HEADER_BYTES + head.readInt32BE(8);
        if (sizeBytes <= HEADER_BYTES || sizeBytes > this.size - position) throw new CorruptRecordError('cut off', {});
        const chunk = this.#range(position, Math.max(sizeBytes, Math.min(WALK_BYTES, this.size - position)));
        position += walkChunk(chunk, mayCut, position, visit);
      }
    } catch (error) {
      if (!(error instanceof CorruptRecordError) || !mayCut) throw error;
      this.truncate(position);
    }
  }

  close(): void {
    if (this.#isOpen) closeSync(this.#file);
    this.#isOpen = false;
  }

  remove(): void {
    this.close();
    rmSync(this.#path, { force: true });
  }

  #range(position: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let filled = 0; filled < length; ) {
      const count = readSync(this.#file, bytes, filled, length - filled, position + filled);
      if (count === 0) throw new CorruptRecordError('file shorter than its index', {});
      filled += count;
    }
    return bytes;
  }
}

/** Visits the whole batches of a chunk, at least the first; returns the bytes walked. A damaged one throws when it is first. */
function walkChunk(chunk: Buffer, checkCrc: boolean, at: number, visit: BatchVisitor): number {
  let walked = 0;
  while (chunk.length - walked >= HEADER_BYTES) {
    const sizeBytes = HEADER_BYTES + chunk.readInt32BE(walked + 8);
    if (sizeBytes <= HEADER_BYTES || sizeBytes > chunk.length - walked) break;
    let batch: RecordBatch;
    try {
      batch = new RecordBatch(chunk, walked, { topic: '', partition: 0 }, { checkCrc });
    } catch (error) {
      if (walked === 0) throw error;
      break;
    }
    visit(batch, at + walked, leaderEpochOf(chunk, walked));
    walked += sizeBytes;
  }
  return walked;
}

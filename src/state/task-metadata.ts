/**
 * What a task database knows of itself, written with every batch: its stores, what their bytes are laid out for, and
 * how far into the changelogs they reach.
 *
 *     [0,0] "meta" → JSON { version: 2,
 *                           stores: name → { id, observedTimeMs, shape: { type, kind, timestamped, layout, segmentIntervalMs, retentionMs } | null },
 *                           positions: changelog topic → { offset, asOfMs } }
 *
 * A shape of null: the store is being wiped, what is left of its bytes is not to be used. Version 1 had no shapes, plain
 * offsets as positions, and one `committedAtMs` for all of them.
 */
import { CorruptStateError } from './errors.ts';
import type { AnyStoreDescription } from './store.ts';
import { LAYOUT_VERSION, segmentIntervalOf } from './store-layout.ts';

const VERSION = 2;

/** What decides where a store's bytes are and how they are read. */
export interface StoreShape {
  readonly type: 'key-value' | 'window';
  readonly kind: 'persistent' | 'in-memory';
  readonly timestamped: boolean;
  /** Version of the keys' layout. */
  readonly layout: number;
  /** Part of a window's key; 0 in a key-value store. */
  readonly segmentIntervalMs: number;
  /** What was older has been deleted; 0 in a key-value store. */
  readonly retentionMs: number;
}

/** How far into its changelog a store's bytes reach. */
export interface ChangelogPosition {
  /** The first offset that they do not reflect. */
  readonly offset: number;
  /** When that was the end of the log, ms since the epoch: deletes logged later are still there for delete.retention.ms. */
  readonly asOfMs: number;
}

export interface StoreMetadata {
  readonly id: number;
  /** Highest window start ever put; −1 before the first. */
  readonly observedTimeMs: number;
  /** Null while the store is wiped; undefined where version 1 did not say. */
  readonly shape: StoreShape | null | undefined;
}

/** Replaced as a whole: what is being written becomes what is known once it is written. */
export interface TaskMetadata {
  readonly stores: ReadonlyMap<string, StoreMetadata>;
  readonly positions: ReadonlyMap<string, ChangelogPosition>;
}

export const NO_METADATA: TaskMetadata = { stores: new Map(), positions: new Map() };

export function shapeOf(description: AnyStoreDescription): StoreShape {
  const { type, kind, timestamped } = description;
  const retentionMs = description.type === 'window' ? description.retentionMs : 0;
  const segmentIntervalMs = description.type === 'window' ? segmentIntervalOf(retentionMs) : 0;
  return { type, kind, timestamped, layout: LAYOUT_VERSION, segmentIntervalMs, retentionMs };
}

/**
 * Whether a store can go on with the bytes that are there; if not, it is wiped, and rebuilt where it is logged.
 * - Bytes of another layout cannot be read.
 * - A longer retention asks for windows that were deleted; the changelog may still have them. Without one, what is there
 *   is better than nothing.
 * - Of an unknown shape (version 1), only a key-value store without a changelog is kept: its layout never changed.
 */
export function canKeep(stored: StoreMetadata, wanted: StoreShape, logged: boolean): boolean {
  const { shape } = stored;
  if (shape === null) return false;
  if (shape === undefined) return !logged && wanted.type === 'key-value' && stored.observedTimeMs === -1;
  // What is in memory was never in the database.
  if (shape.kind === 'in-memory' && wanted.kind === 'in-memory') return true;
  return (
    shape.type === wanted.type &&
    shape.kind === wanted.kind &&
    shape.timestamped === wanted.timestamped &&
    shape.layout === wanted.layout &&
    shape.segmentIntervalMs === wanted.segmentIntervalMs &&
    (!logged || wanted.retentionMs <= shape.retentionMs)
  );
}

export function withStore(metadata: TaskMetadata, name: string, store: StoreMetadata): TaskMetadata {
  return { ...metadata, stores: new Map(metadata.stores).set(name, store) };
}

/** @param position undefined takes it away */
export function withPosition(
  metadata: TaskMetadata,
  topic: string | undefined,
  position: ChangelogPosition | undefined,
): TaskMetadata {
  if (topic === undefined) return metadata;
  const positions = new Map(metadata.positions);
  if (position === undefined) positions.delete(topic);
  else positions.set(topic, position);
  return { ...metadata, positions };
}

export function encodeMetadata({ stores, positions }: TaskMetadata): Buffer {
  return Buffer.from(
    JSON.stringify({
      version: VERSION,
      stores: Object.fromEntries(stores),
      positions: Object.fromEntries(positions),
    }),
  );
}

/** @throws CorruptStateError */
export function decodeMetadata(bytes: Buffer, directory: string): TaskMetadata {
  let stored: unknown;
  try {
    stored = JSON.parse(bytes.toString('utf8'));
    const { version, stores, positions, committedAtMs } = stored as {
      readonly version: unknown;
      readonly stores: Record<string, StoreMetadata>;
      readonly positions: Record<string, unknown>;
      readonly committedAtMs?: number;
    };
    if (version === VERSION) {
      return {
        stores: new Map(Object.entries(stores)),
        positions: new Map(Object.entries(positions as Record<string, ChangelogPosition>)),
      };
    }
    if (version === 1) {
      return {
        stores: new Map(Object.entries(stores).map(([name, store]) => [name, { ...store, shape: undefined }])),
        positions: new Map(
          Object.entries(positions as Record<string, number>).map(([topic, offset]) => [
            topic,
            { offset, asOfMs: committedAtMs ?? 0 },
          ]),
        ),
      };
    }
  } catch (error) {
    throw new CorruptStateError(directory, error);
  }
  throw new CorruptStateError(directory, new Error('written by another version'));
}

/**
 * State: live objects over bytes. live-store.ts is the store every operator works on; store-bytes.ts and backend.ts are
 * what it stands on, store-layout.ts and store-codec.ts how its keys and values become bytes; task-state.ts commits and
 * restores; store.ts has the interfaces for users.
 */
export type { BackendBatch, BackendEntries, KeyRange, StateBackend } from './backend.ts';
export { CacheBudget } from './cache.ts';
export * from './errors.ts';
export type { ChangelogSink, LiveEntry, WriteContext } from './live-entry.ts';
export { LiveStore } from './live-store.ts';
export { MemoryBackend } from './memory-backend.ts';
export { levelStorage, type StateStorage } from './storage.ts';
export * from './store.ts';
export { KeyValueFacade, WindowFacade } from './store-facades.ts';
export type { ChangelogPosition } from './task-metadata.ts';
export { TaskState, type TaskStateOptions } from './task-state.ts';

/**
 * The thread's cache budget. Stores hold live objects; when their estimated size passes the budget, the task flushes
 * the stores' dirty entries (serialised, to changelog and overlay) and drops the least recently used ones.
 */
export class CacheBudget {
  readonly maxBytes: number;
  usedBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get isOver(): boolean {
    return this.usedBytes > this.maxBytes;
  }

  /** What an eviction makes room down to: each one flushes every dirty entry, so it must not come with each record. */
  get isRelieved(): boolean {
    return this.usedBytes <= this.maxBytes / 2;
  }
}

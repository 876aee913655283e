/** Where a store is restored from. A pure decision. */

/**
 * @param position the local one; undefined: none
 * @param ageMs since the position was written; older than the topic keeps tombstones means that deletes may be missed
 */
export function restoreFrom(
  position: number | undefined,
  start: number,
  end: number,
  ageMs: number,
  deleteRetentionMs: number,
): { readonly offset: number; readonly wipe: boolean } {
  if (position === undefined) return { offset: start, wipe: false };
  if (position > end || position < start || ageMs > deleteRetentionMs) return { offset: start, wipe: true };
  return { offset: position, wipe: false };
}

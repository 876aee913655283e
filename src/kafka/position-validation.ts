/**
 * Whether a position still stands on the log it was read from, after the partition's leader has changed (KIP-320).
 * Mirrors `SubscriptionState#maybeCompleteValidation`.
 */
import type { OffsetResetPolicy } from './offsets.ts';
import type { EpochEndOffset } from './requests/23-offset-for-leader-epoch.ts';

export type PositionVerdict =
  | { readonly kind: 'valid' }
  /** The log was truncated: it diverges from what was read at this offset. */
  | { readonly kind: 'truncated'; readonly offset: number; readonly leaderEpoch: number }
  /** The leader has nothing of the position's epoch, nor of one before: where they diverge is not known. */
  | { readonly kind: 'lost' };

/** What the leader's answer, for the epoch of the last record before the offset, says of the offset. */
export function judgePosition(
  offset: number,
  { leaderEpoch, endOffset }: Pick<EpochEndOffset, 'leaderEpoch' | 'endOffset'>,
): PositionVerdict {
  if (leaderEpoch < 0 || endOffset < 0) return { kind: 'lost' };
  return endOffset < offset ? { kind: 'truncated', offset: endOffset, leaderEpoch } : { kind: 'valid' };
}

/** Under 'none' a record that was handed out and is gone is the user's to decide on; else it goes on at the divergence. */
export function mustFail(policy: OffsetResetPolicy, verdict: PositionVerdict, position: number): boolean {
  if (policy !== 'none' || verdict.kind === 'valid') return false;
  return verdict.kind === 'lost' || verdict.offset < position;
}

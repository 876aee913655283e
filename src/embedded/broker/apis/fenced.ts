/** PRODUCER_FENCED came late: older versions say INVALID_PRODUCER_EPOCH (KIP-588). */
import { ErrorCode } from '../../../kafka/index.ts';

export function fencedAs(errorCode: number, knowsFenced: boolean): number {
  return errorCode === ErrorCode.PRODUCER_FENCED && !knowsFenced ? ErrorCode.INVALID_PRODUCER_EPOCH : errorCode;
}

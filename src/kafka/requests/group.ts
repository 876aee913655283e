/** The classic group protocol: JoinGroup v5 (11), Heartbeat v3 (12), LeaveGroup v3 (13), SyncGroup v3 (14). */

import { writeArray, writeBytes, writeNullableString, writeString } from '../wire.ts';
import type { ApiRequest, Throttled } from './request.ts';

export interface GroupMemberIdentity {
  readonly groupId: string;
  readonly generationId: number;
  readonly memberId: string;
}

export interface JoinGroupResponse extends Throttled {
  readonly errorCode: number;
  readonly generationId: number;
  readonly protocolName: string;
  readonly leader: string;
  readonly memberId: string;
  /** Filled for the leader only. */
  readonly members: readonly { readonly memberId: string; readonly metadata: Buffer }[];
}

export function joinGroupRequest(options: {
  readonly groupId: string;
  readonly memberId: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly protocolType: string;
  readonly protocols: readonly { readonly name: string; readonly metadata: Buffer }[];
}): ApiRequest<JoinGroupResponse> {
  return {
    apiKey: 11,
    apiVersion: 5,
    apiName: 'JoinGroup',
    // The broker parks the request until every member has joined, for the rebalance time-out at most.
    timeoutMs: options.rebalanceTimeoutMs + 10_000,
    write(out) {
      writeString(out, options.groupId);
      out.int32(options.sessionTimeoutMs).int32(options.rebalanceTimeoutMs);
      writeString(out, options.memberId);
      writeNullableString(out, null); // group instance id
      writeString(out, options.protocolType);
      writeArray(out, options.protocols, ({ name, metadata }) => {
        writeString(out, name);
        writeBytes(out, metadata);
      });
    },
    read(reader) {
      const throttleTimeMs = reader.int32();
      const errorCode = reader.int16();
      const generationId = reader.int32();
      const protocolName = reader.string();
      const leader = reader.string();
      const memberId = reader.string();
      const members = reader.array(() => {
        const id = reader.string();
        reader.nullableString(); // group instance id
        return { memberId: id, metadata: reader.bytes() };
      });
      return { throttleTimeMs, errorCode, generationId, protocolName, leader, memberId, members };
    },
  };
}

export interface SyncGroupResponse extends Throttled {
  readonly errorCode: number;
  readonly assignment: Buffer;
}

export function syncGroupRequest(
  member: GroupMemberIdentity,
  assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[],
  timeoutMs: number,
): ApiRequest<SyncGroupResponse> {
  return {
    apiKey: 14,
    apiVersion: 3,
    apiName: 'SyncGroup',
    timeoutMs,
    write(out) {
      writeMember(out, member);
      writeArray(out, assignments, ({ memberId, assignment }) => {
        writeString(out, memberId);
        writeBytes(out, assignment);
      });
    },
    read: (reader) => ({ throttleTimeMs: reader.int32(), errorCode: reader.int16(), assignment: reader.bytes() }),
  };
}

export interface ErrorCodeResponse extends Throttled {
  readonly errorCode: number;
}

/** @param timeoutMs after which the connection is given up: a third of the session leaves room for two more tries */
export function heartbeatRequest(member: GroupMemberIdentity, timeoutMs?: number): ApiRequest<ErrorCodeResponse> {
  return {
    apiKey: 12,
    apiVersion: 3,
    apiName: 'Heartbeat',
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    write: (out) => writeMember(out, member),
    read: (reader) => ({ throttleTimeMs: reader.int32(), errorCode: reader.int16() }),
  };
}

export function leaveGroupRequest(groupId: string, memberId: string): ApiRequest<ErrorCodeResponse> {
  return {
    apiKey: 13,
    apiVersion: 3,
    apiName: 'LeaveGroup',
    write(out) {
      writeString(out, groupId);
      writeArray(out, [memberId], (id) => {
        writeString(out, id);
        writeNullableString(out, null);
      });
    },
    read: (reader) => ({ throttleTimeMs: reader.int32(), errorCode: reader.int16() }),
  };
}

function writeMember(out: Parameters<typeof writeString>[0], member: GroupMemberIdentity): void {
  writeString(out, member.groupId);
  out.int32(member.generationId);
  writeString(out, member.memberId);
  writeNullableString(out, null); // group instance id
}

/** Requests and answers in a line each, for histories. What says nothing new is left out. */
import { decodeAssignment, errorName, RecordBatch } from '../../../src/kafka/index.ts';
import type { Message } from './wire.ts';

interface Partition {
  readonly partition: number;
  readonly errorCode?: number;
  readonly offset?: number;
  readonly baseOffset?: number;
  readonly fetchOffset?: number;
  readonly records?: Buffer | null | readonly Buffer[];
  readonly timestamp?: number;
}

interface Body {
  readonly errorCode?: number;
  readonly generationId?: number;
  readonly memberId?: string;
  readonly leader?: string;
  readonly producerId?: number;
  readonly assignment?: Buffer;
  readonly members?: readonly unknown[];
  readonly topics?: readonly {
    readonly name: string;
    readonly errorCode?: number;
    readonly partitions?: readonly Partition[];
  }[];
}

/** Undefined: not worth a line. */
export function describe(message: Message): string | undefined {
  const { api, kind, moment } = message;
  // A request when it leaves, an answer when it comes: the same process says both.
  if ((kind === 'request') !== (moment === 'sent')) return undefined;
  const body = message.body() as Body;
  const what = kind === 'request' ? asked(api.name, body) : answered(api.name, body);
  return what === undefined
    ? undefined
    : `${kind === 'request' ? '>' : '<'} ${api.name}${what === '' ? '' : ` ${what}`}`;
}

function asked(name: string, body: Body): string | undefined {
  switch (name) {
    case 'Produce':
      return each(body, ({ records }) => batchText(records as Buffer));
    case 'OffsetCommit':
      return `generation ${body.generationId} ${each(body, ({ offset }) => `@${offset}`)}`;
    case 'JoinGroup':
      return short(body.memberId);
    case 'SyncGroup':
      return `generation ${body.generationId} ${short(body.memberId)}`;
    case 'LeaveGroup':
    case 'InitProducerId':
      return '';
    case 'CreateTopics':
      return body.topics!.map((topic) => topic.name).join(' ');
    case 'DeleteRecords':
      return each(body, ({ offset }) => `@${offset}`);
    default:
      return undefined;
  }
}

function answered(name: string, body: Body): string | undefined {
  const errors = errorsOf(body);
  switch (name) {
    case 'Produce':
      return errors ?? each(body, ({ baseOffset }) => `at ${baseOffset}`);
    case 'Fetch': {
      if (errors !== undefined) return errors;
      const text = each(body, ({ records }) =>
        (records as readonly Buffer[]).some((batch) => batch.length > 0) ? 'data' : undefined,
      );
      return text === '' ? undefined : text;
    }
    case 'JoinGroup':
      return (
        errors ??
        `generation ${body.generationId} ${short(body.memberId)}${body.leader === body.memberId ? ` leads ${body.members!.length}` : ''}`
      );
    case 'SyncGroup': {
      if (errors !== undefined) return errors;
      const partitions = decodeAssignment(body.assignment!).map(({ topic, partition }) => `${topic}-${partition}`);
      return partitions.join(' ') || 'nothing';
    }
    case 'OffsetFetch':
      return errors ?? each(body, ({ offset }) => `@${offset}`);
    case 'ListOffsets':
      return errors ?? each(body, ({ offset }) => `${offset}`);
    case 'InitProducerId':
      return errors ?? String(body.producerId);
    default:
      return errors;
  }
}

function errorsOf(body: Body): string | undefined {
  const found: string[] = [];
  if (body.errorCode !== undefined && body.errorCode !== 0) found.push(errorName(body.errorCode));
  for (const { name, errorCode, partitions } of body.topics ?? []) {
    if (errorCode !== undefined && errorCode !== 0) found.push(`${name} ${errorName(errorCode)}`);
    for (const at of Array.isArray(partitions) ? (partitions as readonly Partition[]) : [])
      if (at.errorCode !== undefined && at.errorCode !== 0)
        found.push(`${name}-${at.partition} ${errorName(at.errorCode)}`);
  }
  return found.length === 0 ? undefined : found.join(' ');
}

function each(body: Body, text: (at: Partition) => string | undefined): string {
  return body
    .topics!.flatMap(({ name, partitions }) =>
      partitions!.flatMap((at) => {
        const part = text(at);
        return part === undefined ? [] : [`${name}-${at.partition} ${part}`];
      }),
    )
    .join(', ');
}

function batchText(records: Buffer | null): string {
  if (records === null) return 'nothing';
  const { producerId, baseSequence, recordCount } = new RecordBatch(
    records,
    0,
    { topic: '', partition: 0 },
    { checkCrc: false },
  );
  return `${recordCount} from sequence ${baseSequence} of producer ${producerId}`;
}

/** A member id is a client's name and a uuid. */
function short(memberId: string | undefined): string {
  return memberId === undefined || memberId === '' ? 'new' : memberId.slice(0, memberId.indexOf('-') + 5);
}

/** What an anomaly becomes: an alert, what is posted for it, and what is noted of its remediation. Pure functions. */
import { createHash } from 'node:crypto';
import type { AvroType } from '../../index.ts';
import type { alertSchema } from '../../schemas/alert.ts';
import type { anomalySchema } from '../../schemas/anomaly.ts';
import type { remediationSchema } from '../../schemas/remediation.ts';
import { HttpError } from './http-post.ts';

export type Anomaly = AvroType<typeof anomalySchema>;
export type Alert = AvroType<typeof alertSchema>;
export type Remediation = AvroType<typeof remediationSchema>;

const ALERTING: readonly string[] = ['critical', 'high'];
/**
 * Characters in all its texts. What is written for an anomaly has it twice as bytes, or once as JSON text where a character
 * may be six: with this many it stays below the megabyte that brokers take. One that they refused would stop everybody's.
 */
const MAX_CHARACTERS = 65_536;

/** True where somebody is to be told: an anomaly of severity critical or high, in whatever letter case. */
export function isAlerting({ is_anomaly, severity }: Anomaly): boolean {
  return is_anomaly && ALERTING.includes(severity.toLowerCase());
}

/** @throws Error where it has no id, or is too long to be handed on: for the dead letters */
export function idOf({ id, service, affected_metrics, root_cause }: Anomaly): string {
  if (id === '') throw new Error('an anomaly without an id: it cannot be told from others');
  let characters = id.length + service.length + (root_cause?.length ?? 0);
  for (const metric of affected_metrics) characters += metric.length + 1;
  if (characters > MAX_CHARACTERS)
    throw new Error(`an anomaly of ${characters} characters: ${MAX_CHARACTERS} at most are handed on`);
  return id;
}

export function alertOf(anomaly: Anomaly): Alert {
  const { id, service, severity, affected_metrics, timestamp } = anomaly;
  return {
    id,
    type: 'anomaly',
    severity: severity.toLowerCase(),
    service,
    message: `Anomaly detected: ${affected_metrics.join(', ')}`,
    details: JSON.stringify(anomaly),
    timestamp,
  };
}

/** The alert as webhooks get it: JSON all through, where the topic has a text. */
export function webhookBody(anomaly: Anomaly): object {
  const { type, severity, service, message } = alertOf(anomaly);
  return { type, severity, service, message, details: anomaly };
}

export function remediationRequest({ id, service, severity }: Anomaly): object {
  return {
    incident_id: id,
    service_name: service,
    issue_type: 'anomaly',
    severity: severity.toLowerCase(),
    auto_execute: true,
  };
}

/** @param outcome the answer, or the error that ended the tries */
export function remediationOf(
  { id, service, severity }: Anomaly,
  outcome: { readonly status: number; readonly text: string } | { readonly error: unknown },
  attempts: number,
  nowMs: number,
): Remediation {
  return {
    incident_id: id,
    service_name: service,
    issue_type: 'anomaly',
    severity: severity.toLowerCase(),
    ...('error' in outcome
      ? failureOf(outcome.error)
      : { status: 'accepted', http_status: outcome.status, response: outcome.text }),
    attempts,
    timestamp: nowMs,
  };
}

/** Refused is an answer that no other try would change; all else has failed. */
function failureOf(error: unknown): Pick<Remediation, 'status' | 'http_status' | 'response'> {
  if (!(error instanceof HttpError)) return { status: 'failed', http_status: null, response: null };
  const { status = null, text = null, retriable } = error;
  return { status: retriable ? 'failed' : 'refused', http_status: status, response: text };
}

/**
 * The same for the same anomaly and errand, whenever and by whomever it is called for.
 * @returns what a header can hold
 */
export function idempotencyKey(errand: 'alert' | 'remediation', { id }: Anomaly): string {
  const name = /^[\w.:-]{1,100}$/.test(id) ? id : createHash('sha256').update(id).digest('hex');
  return `${errand}-${name}`;
}

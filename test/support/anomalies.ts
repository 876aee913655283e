/** Anomalies for tests, and receivers of what they cause. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Anomaly } from '../../src/apps/alerts/alert.ts';

/** A critical one that suggests a remediation. */
export function anomaly(fields: Partial<Anomaly> = {}): Anomaly {
  return {
    id: 'a-1',
    service: 'checkout',
    timestamp: 1_770_000_000_000,
    is_anomaly: true,
    anomaly_score: 0.93,
    affected_metrics: ['cpu', 'latency'],
    severity: 'CRITICAL',
    root_cause: null,
    remediation_suggested: true,
    ...fields,
  };
}

/** What is posted: of an alert the first two, of a remediation the others. */
export interface PostedBody {
  readonly service?: string;
  readonly details?: Anomaly;
  readonly service_name?: string;
  readonly incident_id?: string;
}

export interface ReceivedCall {
  readonly path: string;
  readonly key: string;
  readonly body: PostedBody;
}

export interface Receiver {
  readonly url: string;
  /** In the order in which they came. */
  readonly calls: ReceivedCall[];
  /** How calls are answered from now on; default 200. */
  answer: (call: ReceivedCall, response: ServerResponse) => void;
  close(): Promise<void>;
}

/** An HTTP server that keeps what is posted to it. */
export async function startReceiver(): Promise<Receiver> {
  const calls: ReceivedCall[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.on('end', () => {
      const call = {
        path: request.url ?? '',
        key: String(request.headers['idempotency-key']),
        body: JSON.parse(text) as PostedBody,
      };
      calls.push(call);
      receiver.answer(call, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const receiver: Receiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    answer: (_call, response) => void response.end('done'),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  return receiver;
}

/** Moments at which the alerts program is killed, and what is asked of it then. */
import { expect } from 'vitest';
import type { EmbeddedKafka } from '../../src/embedded/index.ts';
import type { AlertsJob } from './alerts-job.ts';
import { anomaly } from './anomalies.ts';
import { type Program, temporaryFolder } from './programs.ts';
import { waitFor } from './wait.ts';

/** Arranges for the program to be killed at a moment. Returns how to take that back. */
export type Crash = (job: AlertsJob, kill: () => Promise<unknown>) => () => void;

/** Seen from the service that is called. */
export const AT_CALLS = {
  calling: atCall((_respond, kill) => kill()),
  answered: atCall((respond, kill) => respond(kill)),
} satisfies Record<string, Crash>;

/** At the very request: the embedded broker answers when the process is gone. */
export const atRequests = (kafka: EmbeddedKafka) =>
  ({
    marked: whenOnlyMarked(kafka),
    /** Calls are logged, and may have been answered. */
    pending: atRequest(kafka, 'after', 'Produce', 'crashing-remediation-pending-changelog'),
    /** An alert is written, and nothing committed. */
    alerted: atRequest(kafka, 'after', 'Produce', 'alerts'),
    /** A remediation is written, and its call not deleted. */
    remediated: atRequest(kafka, 'after', 'Produce', 'remediations'),
    /** All is written, and the position in the repartition topic not committed. */
    written: atRequest(kafka, 'before', 'OffsetCommit', 'crashing-anomalies-by-id-repartition'),
    committed: atRequest(kafka, 'after', 'OffsetCommit', 'crashing-anomalies-by-id-repartition'),
  }) satisfies Record<string, Crash>;

function atCall(met: (respond: (sent: () => void) => void, kill: () => void) => void): Crash {
  return ({ receiver }, kill) => {
    const { answer } = receiver;
    receiver.answer = (_call, response) =>
      met(
        (sent) => void response.end('done', sent),
        () => void kill(),
      );
    return () => {
      receiver.answer = answer;
    };
  };
}

/** An id has its mark, and nothing is known of the calls for its anomaly, which are under way. Of two nodes, one is deaf. */
function whenOnlyMarked(kafka: EmbeddedKafka): Crash {
  const calls = ['crashing-alert-webhook-pending-changelog', 'crashing-remediation-pending-changelog'];
  return (job, kill) => {
    for (let partition = 0; partition < job.partitions; partition++) {
      kafka.moveLeader(MARKS, partition, 1);
      for (const topic of calls) kafka.moveLeader(topic, partition, 2);
    }
    const { answer } = job.receiver;
    job.receiver.answer = () => {};
    const takeBack = [
      ...calls.map((topic) =>
        kafka.inject({ api: 'Produce', when: writes(topic), times: Infinity, action: { kind: 'disconnect' } }),
      ),
      atRequest(kafka, 'after', 'Produce', MARKS)(job, kill),
    ];
    return () => {
      job.receiver.answer = answer;
      for (const take of takeBack) take();
    };
  };
}

const MARKS = 'crashing-alerted-ids-changelog';

const writes = (topic: string) => (request: unknown) =>
  (request as { readonly topics: readonly { readonly name: string }[] }).topics.some(({ name }) => name === topic);

function atRequest(kafka: EmbeddedKafka, when: 'before' | 'after', api: string, topic: string): Crash {
  return (_job, kill) =>
    kafka.inject({
      api,
      when: (request) => {
        const isMet = writes(topic)(request);
        if (isMet && when === 'before') void kill();
        return isMet;
      },
      // What is run before a request does not keep it from being handled.
      action: when === 'before' ? { kind: 'half-open' } : { kind: 'run', when, run: async () => void (await kill()) },
    });
}

/**
 * The program is killed once at each moment and started again. In the end every anomaly has its alert, its webhook call
 * and its remediation; what was committed before the first crash has them once.
 * @param sessionTimeoutMs after which a killed process is missed
 */
export async function crashing(
  job: AlertsJob,
  crashes: Readonly<Record<string, Crash>>,
  sessionTimeoutMs: number,
): Promise<void> {
  const stateDir = temporaryFolder();
  const start = (sessionMs = sessionTimeoutMs): Program =>
    job.start('anomaly-alerts', {
      APPLICATION_ID: 'crashing',
      STATE_DIR: stateDir,
      SESSION_TIMEOUT_MS: String(sessionMs),
    });
  const sent: string[] = [];
  const sendSome = async (): Promise<void> => {
    const some = [0, 1, 2, 3, 4].map((i) =>
      anomaly({ id: `crash-${sent.length}-${i}`, service: `${i}`, affected_metrics: [] }),
    );
    sent.push(...some.map(({ id }) => id));
    await job.send(some);
  };
  const ids = (): string[][] => [
    job.alerts.map(({ value }) => value.id).filter((id) => id.startsWith('crash-')),
    job.remediations.map(({ key }) => key).filter((id) => id.startsWith('crash-')),
    job.webhookIds(),
    job.remediationIds(),
  ];
  const isDone = (): boolean => ids().every((done) => sent.every((id) => done.includes(id)));

  const running = (program: Program): Promise<void> =>
    waitFor(() => /"RUNNING"/.test(program.output()), 30_000, 'RUNNING');

  const first = start(10_000);
  await running(first);
  await sendSome();
  await waitFor(isDone, 30_000, 'the first anomalies');
  expect(await first.kill('SIGTERM')).toBe(0);
  for (const [moment, crash] of Object.entries(crashes)) {
    const program = start();
    const takeBack = crash(job, () => program.kill('SIGKILL'));
    await sendSome();
    expect(await program.exited, `killed when ${moment}: ${program.output()}`).toBe(null);
    takeBack();
  }
  const last = start(10_000);
  await running(last);
  await waitFor(isDone, 60_000, 'all anomalies');
  expect(await last.kill('SIGTERM')).toBe(0);

  for (const done of ids()) {
    expect(new Set(done)).toEqual(new Set(sent));
    expect(done.filter((id) => id.startsWith('crash-0-'))).toHaveLength(5);
  }
  for (const { path, key, body } of job.receiver.calls)
    expect(key).toBe(path === '/hook' ? `alert-${body.details?.id}` : `remediation-${body.incident_id}`);
}

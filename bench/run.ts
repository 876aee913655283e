/**
 * `npm run bench [-- --records 3000000] [--cases fetch,kafkajs,…] [--profile DIR]`: throughput on a real broker, each
 * case in a process of its own, `--turns` each, the best of them; ratios are to kafkajs in the same run. The sink's case has
 * a load of its own, and PostgreSQL; `--cases sink --skip-restore --skip-live-keys --skip-embedded` runs that alone.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { createTopics, KafkaCluster } from '../src/kafka/index.ts';
import { startKafka } from '../test/support/kafka/broker.ts';
import { startTestRegistry } from '../test/support/registry.ts';
import { KAFKAJS_SETTINGS } from './cases.ts';
import { createChangelog } from './changelog.ts';
import { startEmbeddedProcess } from './embedded.ts';
import { createLoad, type Load } from './load.ts';
import type { Result } from './measure.ts';
import { benchSink } from './sink.ts';

const { values: args } = parseArgs({
  options: {
    records: { type: 'string', default: '3000000' },
    // A folder for a CPU profile of each case.
    profile: { type: 'string' },
    turns: { type: 'string', default: '2' },
    loads: { type: 'string', default: 'plain,gzip,few-keys' },
    cases: { type: 'string', default: 'fetch,kafkajs,by-key,by-value,by-key-every-update,by-value-every-update,sink' },
    'skip-restore': { type: 'boolean', default: false },
    'skip-live-keys': { type: 'boolean', default: false },
    'skip-embedded': { type: 'boolean', default: false },
  },
});
const records = Number(args.records);
const run = promisify(execFile);
const PARTITIONS = 10;
const MINUTE = 60_000;

const loads: Readonly<Record<string, Load>> = {
  plain: {
    topic: 'metrics-plain',
    records,
    keys: 1000,
    partitions: PARTITIONS,
    spanMs: 30 * MINUTE,
    compression: 'none',
  },
  gzip: {
    topic: 'metrics-gzip',
    records,
    keys: 1000,
    partitions: PARTITIONS,
    spanMs: 30 * MINUTE,
    compression: 'gzip',
  },
  'few-keys': {
    topic: 'metrics-few-keys',
    records: Math.max(records / 3, 900_000),
    keys: 30,
    partitions: PARTITIONS,
    spanMs: 3 * MINUTE,
    compression: 'none',
  },
};

const broker = await startKafka({ heap: '1g', optimised: true });
const registry = await startTestRegistry();
const context = { brokers: broker.brokers, registryUrl: registry.url, partitions: PARTITIONS };
const admin = new KafkaCluster({ kafka: { brokers: broker.brokers } });
await admin.connect();
await createTopics(admin, [{ topic: 'metrics-aggregated', partitions: PARTITIONS, replicationFactor: 1, configs: {} }]);
await admin.close();

const profiling = args.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${args.profile}`];

async function measure(name: string, more: object, turns = Number(args.turns)): Promise<Result> {
  let best: Result | undefined;
  for (let turn = 0; turn < turns; turn++) {
    const { stdout } = await run(
      process.execPath,
      [...profiling, join(import.meta.dirname, 'case.js'), name, JSON.stringify({ ...context, ...more })],
      { maxBuffer: 1 << 24 },
    );
    const result = JSON.parse(stdout.trim().split('\n').at(-1)!) as Result;
    if (best === undefined || result.seconds < best.seconds) best = result;
  }
  return best!;
}

function print(name: string, result: Result, base: number | undefined): void {
  const rate = result.records / result.seconds;
  const columns = [
    name.padEnd(34),
    `${(rate / 1e6).toFixed(3)} M records/s`,
    `${((result.cpuSeconds / result.records) * 1e6).toFixed(2)} CPU s/M`.padStart(15),
    `${result.peakMb.toFixed(0)} MB peak`.padStart(13),
    base === undefined ? '' : `${(rate / base).toFixed(2)} × kafkajs`.padStart(15),
    result.note ?? '',
  ];
  process.stdout.write(`${columns.join('  ')}\n`);
}

process.stdout.write(`kafkajs settings: ${JSON.stringify(KAFKAJS_SETTINGS)}\n`);
let plainBase: number | undefined;
const cases = args.cases.split(',').filter((name) => name !== 'sink');
for (const name of cases.length === 0 ? [] : args.loads.split(',').filter(Boolean)) {
  const load = loads[name]!;
  process.stdout.write(
    `\nload ${name}: ${load.records} records, ${load.keys} keys, ${load.spanMs / MINUTE} minutes, ${load.compression}\n`,
  );
  await createLoad(broker.brokers, registry.url, load);
  const results = new Map<string, Result>();
  for (const one of cases) results.set(one, await measure(one, { topic: load.topic, records: load.records }));
  const kafkajs = results.get('kafkajs');
  const base = kafkajs === undefined ? undefined : kafkajs.records / kafkajs.seconds;
  plainBase ??= base;
  for (const [one, result] of results) print(one, result, base);
}
if (!args['skip-restore']) {
  const applicationId = 'bench-restore';
  await createChangelog(broker.brokers, applicationId, 'restore-input', PARTITIONS, 1_000_000);
  process.stdout.write('\nrestore of a changelog of 1,000,000 keys\n');
  print('restore', await measure('restore', { topic: 'restore-input', records: 1_000_000, applicationId }), plainBase);
}
if (!args['skip-live-keys']) {
  process.stdout.write('\ncost a record as live keys grow\n');
  for (const keys of [1_000, 100_000, 1_000_000]) {
    const load: Load = {
      topic: `metrics-${keys}-keys`,
      records: 1_000_000,
      keys,
      partitions: PARTITIONS,
      spanMs: 3 * MINUTE,
      compression: 'none',
    };
    await createLoad(broker.brokers, registry.url, load);
    print(`${keys} keys`, await measure('live-keys', { topic: load.topic, records: load.records }), plainBase);
  }
}
if (!args['skip-embedded']) {
  const embedded = await startEmbeddedProcess();
  process.stdout.write(
    `\nembedded broker: started in ${embedded.startMs.toFixed(0)} ms, ${embedded.idleMb.toFixed(0)} MB idle; beside Apache Kafka, 1,000,000 records of 100 bytes\n`,
  );
  for (const name of ['produce', 'fetch']) {
    const work = { topic: 'embedded-bench', records: 1_000_000, partitions: PARTITIONS };
    const apache = await measure(name, work, 1);
    const ours = await measure(name, { ...work, brokers: embedded.brokers }, 1);
    print(`${name}, Apache Kafka`, apache, undefined);
    print(`${name}, embedded`, ours, undefined);
    const ratio = ours.records / ours.seconds / (apache.records / apache.seconds);
    process.stdout.write(`${name}: ${ratio.toFixed(2)} × Apache Kafka\n`);
  }
  await embedded.close();
}
if (args.cases.split(',').includes('sink')) {
  await benchSink({
    ...context,
    turns: Number(args.turns),
    measure: (more) => measure('sink', more, 1),
    print: (name, result) => print(name, result, undefined),
  });
}
await registry.close();
await broker.close();
process.exit(0);

/** The embedded broker in a process of its own, as Apache Kafka is in one: prints its address and what its start took. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startKafka } from '../src/embedded/index.ts';

const started = performance.now();
const kafka = await startKafka({ dataDir: mkdtempSync(join(tmpdir(), 'millrace-bench-embedded-')) });
const startMs = performance.now() - started;
const idleMb = process.memoryUsage().rss / 1024 / 1024;
process.stdout.write(`${JSON.stringify({ brokers: kafka.brokers, startMs, idleMb })}\n`);
process.on('SIGTERM', () => void kafka.close().then(() => process.exit(0)));

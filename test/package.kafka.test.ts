/** The package as a user installs it: packed, into an empty TypeScript project, with the README's program. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { expect, inject, test } from 'vitest';
import { temporaryFolder } from './support/programs.ts';
import { waitFor } from './support/wait.ts';

const ROOT = process.cwd();

test('the README’s program type-checks and runs from the packed package', async () => {
  const brokers = inject('brokers');
  const project = temporaryFolder();
  const run = (command: string, args: string[]): string =>
    execFileSync(command, args, { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', project], {
    cwd: ROOT,
    encoding: 'utf8',
  })
    .trim()
    .split('\n')
    .at(-1)!;
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true, type: 'module' }));
  run('npm', ['install', '--silent', join(project, packed)]);
  const program = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8'))![1]!;
  mkdirSync(join(project, 'src'));
  writeFileSync(
    join(project, 'src/main.ts'),
    program.replace('localhost:9092', brokers[0]!).replace('applicationId:', 'commitIntervalMs: 100, applicationId:'),
  );
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        module: 'nodenext',
        target: 'es2023',
        strict: true,
        rootDir: 'src',
        outDir: 'out',
        types: ['node'],
        typeRoots: [join(ROOT, 'node_modules/@types')],
      },
    }),
  );
  run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', project]);

  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({
    topics: ['temperatures', 'highest-per-minute'].map((topic) => ({ topic })),
    waitForLeaders: true,
  });
  const child = spawn(process.execPath, ['out/main.js'], { cwd: project, stdio: 'inherit' });
  const producer = kafka.producer();
  await producer.connect();
  const value = Buffer.alloc(8);
  value.writeDoubleBE(21.5);
  await producer.send({ topic: 'temperatures', messages: [{ key: 'kitchen', value }] });
  await producer.disconnect();
  const written = async (): Promise<number> => Number((await admin.fetchTopicOffsets('highest-per-minute'))[0]!.high);
  await waitFor(async () => (await written()) > 0, 60_000, 'an output');
  child.kill('SIGTERM');
  expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0);
  await admin.disconnect();
});

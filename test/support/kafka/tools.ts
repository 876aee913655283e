/** Apache Kafka's command-line tools: clients that nobody here wrote. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

async function toolsLibs(version: string): Promise<string> {
  const libs = join(process.cwd(), '.cache/kafka-tools', version, 'libs');
  if (!existsSync(join(libs, `kafka-tools-${version}.jar`))) {
    mkdirSync(libs, { recursive: true });
    await run('mvn', [
      '-q',
      '-B',
      '-f',
      join(process.cwd(), 'test/support/kafka/tools-pom.xml'),
      `-Dkafka.version=${version}`,
      'dependency:copy-dependencies',
      '-DincludeScope=runtime',
      `-DoutputDirectory=${libs}`,
    ]);
  }
  return libs;
}

/** Runs a tool; resolves with what it printed. @throws Error it failed, with its last words */
export async function kafkaTool(version: string, main: string, args: readonly string[], input = ''): Promise<string> {
  const libs = await toolsLibs(version);
  return command('java', ['-XX:TieredStopAtLevel=1', '-cp', `${libs}/*`, main, ...args], input);
}

/** Runs a Java program of one source file with Kafka's clients; resolves with what it printed. */
export async function javaProgram(version: string, source: string, args: readonly string[]): Promise<string> {
  const libs = await toolsLibs(version);
  return command('java', ['-XX:TieredStopAtLevel=1', '-cp', `${libs}/*`, source, ...args]);
}

export async function command(program: string, args: readonly string[], input = ''): Promise<string> {
  const child = spawn(program, args);
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    output += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    errors += String(chunk);
  });
  child.stdin.end(input);
  const code = await new Promise((resolve) => child.once('exit', resolve));
  if (code !== 0) throw new Error(`${program} ${args.at(-1)} ended with ${code}: ${output}${errors.slice(-2000)}`);
  return output;
}

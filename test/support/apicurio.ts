/** A real schema registry: Apicurio's, by Maven, in memory, with the Confluent interface under a path. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';
import { waitFor } from './wait.ts';

const run = promisify(execFile);
const VERSION = '3.0.9';
const FOLDER = join(process.cwd(), '.cache/apicurio', VERSION);
const JAR = join(FOLDER, `apicurio-registry-app-${VERSION}-runner.jar`);

export interface RealRegistry {
  readonly url: string;
  close(): Promise<void>;
}

export async function startApicurio(): Promise<RealRegistry> {
  if (!existsSync(JAR)) {
    mkdirSync(FOLDER, { recursive: true });
    const artifact = `io.apicurio:apicurio-registry-app:${VERSION}:tar.gz:all`;
    await run('mvn', ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${FOLDER}`]);
    await run('tar', ['xzf', join(FOLDER, `apicurio-registry-app-${VERSION}-all.tar.gz`), '-C', FOLDER]);
  }
  const port = await freePort();
  const child = spawn(
    'java',
    [`-Dquarkus.http.port=${port}`, '-Dquarkus.http.host=127.0.0.1', '-XX:TieredStopAtLevel=1', '-jar', JAR],
    { stdio: 'ignore' },
  );
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`;
  await waitFor(
    async () => (await fetch(`${url}/subjects`).catch(() => undefined))?.ok === true,
    60_000,
    'the registry',
  );
  return {
    url,
    async close() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

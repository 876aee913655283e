/** Avro for Java as the judge: the same bytes under the same two schemas, read by both and written again. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { ByteWriter } from '../../src/bytes.ts';
import { compileAvroReader } from '../../src/serdes/avro-reader.ts';
import { type AvroNode, parseSchema } from '../../src/serdes/avro-schema.ts';
import { compileAvroWriter } from '../../src/serdes/avro-writer.ts';
import { resolutionCases } from '../support/avro/resolution-cases.ts';
import { evolved, randomSchema, randomValue, type Schema } from '../support/avro/schemas.ts';
import { random } from '../support/metrics.ts';

const FOLDER = join(process.cwd(), 'test/support/avro');
const LIBS = join(process.cwd(), '.cache/avro/libs');

beforeAll(async () => {
  if (existsSync(join(LIBS, 'avro-1.11.3.jar'))) return;
  mkdirSync(LIBS, { recursive: true });
  const pom = join(FOLDER, 'pom.xml');
  await promisify(execFile)('mvn', [
    '-q',
    '-B',
    '-f',
    pom,
    'dependency:copy-dependencies',
    `-DoutputDirectory=${LIBS}`,
  ]);
});

interface Trial {
  readonly writer: Schema;
  readonly reader: Schema;
  readonly value: unknown;
}

function encoded(type: AvroNode, value: unknown): Buffer {
  const out = new ByteWriter();
  compileAvroWriter('test', type)(value, out);
  return out.copy();
}

/** What the reader makes of it, written again, in hex; `ERROR` where it is refused. */
function ours({ writer, reader, value }: Trial): string {
  const to = parseSchema(reader);
  const bytes = encoded(parseSchema(writer), value);
  try {
    return encoded(to, compileAvroReader('test', parseSchema(writer), to)(bytes, 0, bytes.length)).toString('hex');
  } catch {
    return 'ERROR';
  }
}

function javas(trials: readonly Trial[]): string[] {
  const lines = trials.map(({ writer, reader, value }) =>
    [JSON.stringify(writer), JSON.stringify(reader), encoded(parseSchema(writer), value).toString('hex')].join('\t'),
  );
  const answer = spawnSync('java', ['-cp', `${LIBS}/*`, join(FOLDER, 'AvroJudge.java')], {
    input: `${lines.join('\n')}\n`,
    maxBuffer: 2 ** 28,
    encoding: 'utf8',
  });
  expect(answer.stderr).toBe('');
  return answer.stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^ERROR .*/, 'ERROR'));
}

test('each case is resolved as by Java, but for those that say why not', () => {
  const verdicts = javas(resolutionCases);
  const unlike = resolutionCases.filter((trial, i) => ours(trial) !== verdicts[i]);
  expect(unlike.map(({ name }) => name)).toEqual(
    resolutionCases.filter(({ unlikeJava }) => unlikeJava !== undefined).map(({ name }) => name),
  );
});

test('random values of random schemas are read and written as by Java, under the same schema and under one that came of it', () => {
  const trials = Array.from({ length: 3000 }, (_, seed): Trial => {
    const writer = randomSchema(seed);
    const reader = seed % 3 === 0 ? writer : evolved(writer, random(seed + 2));
    return { writer, reader, value: randomValue(writer, random(seed + 1)) };
  });
  const verdicts = javas(trials);
  expect(verdicts.filter((verdict) => verdict !== 'ERROR').length).toBeGreaterThan(trials.length / 3);
  for (const [i, trial] of trials.entries()) expect([trial, ours(trial)]).toEqual([trial, verdicts[i]]);
});

/** What a run tells people: the failed check, a history that leads up to it, how to see it again. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lineText, type TraceLine } from './observe/trace.ts';
import type { Outcome } from './run.ts';
import type { Scenario } from './world/scenario.ts';

/** Lines of a history that are printed. */
const LINES = 120;
/** Lines that differ in numbers only, between two that tell more. */
const ALIKE = 3;
/** Lines of these kinds tell the story whatever it is about. */
const TELLING = new Set([
  'fault',
  'heal',
  'phase',
  'kill',
  'start',
  'close',
  'exit',
  'state',
  'told',
  'excused',
  'FAIL',
]);
/** Of live objects, over a series of runs: compiled code and caches of limited size. What a run leaves behind adds up. */
const MAX_GROWTH_BYTES = 64 * 2 ** 20;
const FOLDER = '.cache/simulation/failures';

export function printFailure(first: Outcome, smallest: Outcome, trace: boolean): void {
  const { scenario, violations, lines, hash } = smallest;
  const [violation] = violations;
  console.log(`\nSeed ${first.scenario.seed} fails: ${first.violations.map(({ check }) => check).join(', ')}`);
  if (violation === undefined) {
    console.log('  … and does not fail again: the same seed gave another history. That is a defect of the simulation.');
    return;
  }
  console.log(`  ${violation.check} at ${(violation.atUs / 1e6).toFixed(6)} s: ${violation.text}`);
  for (const { check, text } of violations.slice(1, 5)) console.log(`  then ${check}: ${text}`);
  console.log(`  made smaller: ${scenarioText(scenario)}`);
  for (const { atMs, kind, args } of scenario.faults)
    console.log(`    at ${atMs / 1000} s ${kind} ${JSON.stringify(args)}`);
  console.log(`  history (hash ${hash}):`);
  for (const line of trace ? lines : telling(lines, violation.text)) console.log(`  ${lineText(line).slice(0, 240)}`);
  const file = save(scenario);
  console.log(
    `  again: npm run simulate -- --replay ${file} [--trace]   or, not made smaller: --seed ${scenario.seed}`,
  );
}

/** The lines that matter for a violation, up to it; what only repeats itself is left out. */
function telling(lines: readonly TraceLine[], violation: string): TraceLine[] {
  const partitions = [...violation.matchAll(/[\w.]+(?:-[\w.]+)*-\d+/g)].map(([name]) => name);
  const chosen: TraceLine[] = [];
  let alike = new Map<string, number>();
  for (const line of lines) {
    const { kind, owner, text } = line;
    const isTelling = TELLING.has(kind);
    if (!isTelling && !isRelevant(line, partitions)) continue;
    if (isTelling) alike = new Map();
    const shape = `${owner} ${kind} ${text.replace(/\d+/g, '#')}`;
    const times = (alike.get(shape) ?? 0) + 1;
    alike.set(shape, times);
    if (isTelling || times < ALIKE) chosen.push(line);
    else if (times === ALIKE) chosen.push({ ...line, text: `${text} … and so on` });
    if (kind === 'FAIL') break;
  }
  const cut = Math.max(0, chosen.length - LINES);
  return [...chosen.slice(0, cut).filter(({ kind }) => kind === 'fault'), ...chosen.slice(cut)];
}

function isRelevant({ kind, text }: TraceLine, partitions: readonly string[]): boolean {
  if (kind === 'log') return /^(warn|error)/.test(text);
  if (kind !== 'wire') return false;
  return (
    /Group|Offset(Commit|Fetch)|ListOffsets|InitProducer/.test(text) || partitions.some((name) => text.includes(name))
  );
}

export function scenarioText({
  topology,
  members,
  nodes,
  partitions,
  records,
  keys,
  activeMs,
  lateMs,
  faults,
}: Scenario): string {
  return `${topology}, ${members} members, ${nodes} brokers, ${partitions} partitions, ${records} records of ${keys} keys in ${activeMs / 1000} s, up to ${lateMs / 1000} s late, ${faults.length} faults`;
}

function save(scenario: Scenario): string {
  mkdirSync(FOLDER, { recursive: true });
  const file = join(FOLDER, `${scenario.seed}.json`);
  writeFileSync(file, `${JSON.stringify(scenario, null, 2)}\n`);
  return file;
}

export class Summary {
  runs = 0;
  events = 0;
  virtualMs = 0;
  cpuMs = 0;
  readonly failures = new Map<string, string[]>();
  #firstHeap = 0;
  #lastHeap = 0;

  add({ scenario, violations, events, virtualMs, cpuMs }: Outcome, heapBytes: number): void {
    this.runs++;
    this.events += events;
    this.virtualMs += virtualMs;
    this.cpuMs += cpuMs;
    this.#firstHeap ||= heapBytes;
    this.#lastHeap = heapBytes;
    const check = violations[0]?.check;
    if (check === undefined) return;
    const seeds = this.failures.get(check);
    if (seeds === undefined) this.failures.set(check, [scenario.seed]);
    else seeds.push(scenario.seed);
  }

  print(elapsedMs: number): void {
    const { runs, events, virtualMs, cpuMs } = this;
    const mb = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
    console.log(
      `\n${runs} runs, ${(virtualMs / 3_600_000).toFixed(1)} h of virtual time in ${(elapsedMs / 1000).toFixed(0)} s; ` +
        `${Math.round(events / (cpuMs / 1000)).toLocaleString('en')} events/s, ${Math.round(virtualMs / cpuMs)} times real time (by processor time); ` +
        `live heap ${mb(this.#firstHeap)} MB after the first run, ${mb(this.#lastHeap)} MB after the last`,
    );
    if (this.#lastHeap > this.#firstHeap + MAX_GROWTH_BYTES) this.failures.set('memory', ['all']);
    if (this.failures.size === 0) console.log('No failures.');
    for (const [check, seeds] of [...this.failures].sort((a, b) => b[1].length - a[1].length))
      console.log(
        `${check}: ${seeds.length} failures, seeds ${seeds.slice(0, 12).join(' ')}${seeds.length > 12 ? ' …' : ''}`,
      );
  }
}

/** Runs one scenario in virtual time. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadZstd } from '../../src/kafka/index.ts';
import { LevelMedium } from './disk/level-medium.ts';
import { installGlobals } from './kernel/globals.ts';
import { Kernel } from './kernel/kernel.ts';
import { Network } from './network/network.ts';
import type { TraceLine } from './observe/trace.ts';
import type { Scenario } from './world/scenario.ts';
import { type Violation, World } from './world/world.ts';

export interface RunOptions {
  /** Makes a history to read. */
  readonly readable?: boolean;
  /** What the disks keep their databases in. Default memory. */
  readonly disk?: 'memory' | 'level';
}

export interface Outcome {
  readonly scenario: Scenario;
  readonly violations: readonly Violation[];
  /** Two runs of one scenario have it in common. */
  readonly hash: string;
  readonly events: number;
  readonly virtualMs: number;
  /** ms of processor time: the machine may be shared. */
  readonly cpuMs: number;
  /** The history, where it was asked for. */
  readonly lines: readonly TraceLine[];
}

/** Virtual ms: many times what any run takes. */
const MAX_MS = 3_600_000;

export async function simulate(scenario: Scenario, options: RunOptions = {}): Promise<Outcome> {
  // The only thing on the path that loads something asynchronously.
  await loadZstd();
  const start = process.cpuUsage();
  const kernel = new Kernel(scenario.seed);
  const network = new Network(kernel);
  network.links.latencyUs = scenario.latencyMs * 1000;
  const levels: LevelMedium[] = [];
  const medium = (): LevelMedium | undefined => {
    if (options.disk !== 'level') return undefined;
    const level = new LevelMedium(kernel, mkdtempSync(join(tmpdir(), 'millrace-simulation-')));
    levels.push(level);
    return level;
  };
  const uninstall = installGlobals(kernel, network.replacements());
  let world: World | undefined;
  try {
    await kernel.run(() => {
      world = new World(kernel, network, scenario, { ...options, medium });
      return world.run();
    }, MAX_MS);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (world === undefined) throw error;
    world.fail('harness', text);
  } finally {
    uninstall();
  }
  for (const level of levels) await level.closeAll();
  const { violations, trace } = world!;
  return {
    scenario,
    violations,
    hash: trace.hash,
    events: kernel.events,
    virtualMs: kernel.nowUs / 1000,
    cpuMs: cpuMsSince(start),
    lines: trace.lines ?? [],
  };
}

function cpuMsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

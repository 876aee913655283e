/** This machine's own figures: cpu, memory, load, disk, network. Rates need two readings. */
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { cpus, freemem, loadavg, totalmem } from 'node:os';

export interface Reading {
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
}

interface Counters {
  readonly atMs: number;
  readonly cpuBusyMs: number;
  readonly cpuTotalMs: number;
  readonly networkBytes: number | undefined;
  readonly diskBytes: number | undefined;
}

export class HostReadings {
  #previous = counters();

  /** What can be read here; on systems without /proc, network and disk rates are left out. */
  async read(): Promise<Reading[]> {
    const previous = this.#previous;
    const now = counters();
    this.#previous = now;
    const elapsedSeconds = Math.max((now.atMs - previous.atMs) / 1000, 0.001);
    const cpuTotal = Math.max(now.cpuTotalMs - previous.cpuTotalMs, 1);
    const readings: Reading[] = [
      { metric: 'cpu', value: (100 * (now.cpuBusyMs - previous.cpuBusyMs)) / cpuTotal, unit: 'percent' },
      { metric: 'memory', value: totalmem() - freemem(), unit: 'bytes' },
      { metric: 'load', value: loadavg()[0]!, unit: 'processes' },
    ];
    const disk = await statfs('/').catch(() => undefined);
    if (disk !== undefined)
      readings.push({ metric: 'disk_used', value: (disk.blocks - disk.bfree) * disk.bsize, unit: 'bytes' });
    const rate = (metric: string, before: number | undefined, after: number | undefined): void => {
      if (before !== undefined && after !== undefined) {
        readings.push({ metric, value: (after - before) / elapsedSeconds, unit: 'bytes/s' });
      }
    };
    rate('network', previous.networkBytes, now.networkBytes);
    rate('disk_io', previous.diskBytes, now.diskBytes);
    return readings;
  }
}

function counters(): Counters {
  let busy = 0;
  let total = 0;
  for (const { times } of cpus()) {
    const sum = times.user + times.nice + times.sys + times.idle + times.irq;
    total += sum;
    busy += sum - times.idle;
  }
  return {
    atMs: Date.now(),
    cpuBusyMs: busy,
    cpuTotalMs: total,
    networkBytes: sumColumns('/proc/net/dev', /^\s*(?!lo:)\S+:/, [1, 9], 1),
    diskBytes: sumColumns('/proc/diskstats', /\s(sd[a-z]+|vd[a-z]+|nvme\d+n\d+)\s/, [5, 9], 512),
  };
}

/** Adds columns of the lines that match; undefined where the file is not there. */
function sumColumns(file: string, line: RegExp, columns: readonly number[], factor: number): number | undefined {
  try {
    let sum = 0;
    for (const text of readFileSync(file, 'utf8').split('\n')) {
      if (!line.test(text)) continue;
      const fields = text.trim().split(/[\s:]+/);
      for (const column of columns) sum += Number(fields[column] ?? 0) * factor;
    }
    return sum;
  } catch {
    return undefined;
  }
}

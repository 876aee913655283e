/** What every case reports, from a warm start to the last commit. */

export interface Result {
  readonly records: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakMb: number;
  readonly note?: string;
}

export class Measurement {
  readonly #started = process.hrtime.bigint();
  readonly #cpu = process.cpuUsage();

  /** Peak memory is the process's, so each case runs in one of its own. */
  end(records: number, note?: string): Result {
    const { user, system } = process.cpuUsage(this.#cpu);
    return {
      records,
      seconds: Number(process.hrtime.bigint() - this.#started) / 1e9,
      cpuSeconds: (user + system) / 1e6,
      peakMb: process.resourceUsage().maxRSS / 1024,
      ...(note === undefined ? {} : { note }),
    };
  }
}

/** How machines reach each other: latency and blockage per direction. */

export interface Link {
  /** µs that each packet takes at least. */
  latencyUs: number;
  /** µs on top, on average. */
  jitterUs: number;
  /** Packets vanish. */
  blocked: boolean;
}

const LATENCY_US = 250;
const JITTER_US = 150;

export class Links {
  readonly #links = new Map<string, Link>();

  of(from: string, to: string): Link {
    const name = `${from}>${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      link = { latencyUs: LATENCY_US, jitterUs: JITTER_US, blocked: false };
      this.#links.set(name, link);
    }
    return link;
  }

  /** All as at the start; what was held back is the network's to send. */
  reset(): void {
    for (const link of this.#links.values())
      Object.assign(link, { latencyUs: LATENCY_US, jitterUs: JITTER_US, blocked: false });
  }
}

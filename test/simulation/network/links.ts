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

export class Links {
  /** Of links that nothing else was said of, µs; half as much again is jitter. */
  latencyUs = LATENCY_US;
  /** That are still to come, of what was held back: rest waits for them. */
  retransmissions = 0;
  readonly #links = new Map<string, Link>();

  of(from: string, to: string): Link {
    const name = `${from}>${to}`;
    let link = this.#links.get(name);
    if (link === undefined) {
      link = this.#plain();
      this.#links.set(name, link);
    }
    return link;
  }

  /** All as at the start; what was held back is the network's to send. */
  reset(): void {
    for (const link of this.#links.values()) Object.assign(link, this.#plain());
  }

  #plain(): Link {
    return { latencyUs: this.latencyUs, jitterUs: this.latencyUs / 2, blocked: false };
  }
}

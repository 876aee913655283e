/**
 * The history of a run: who did what, when. Everything goes into a hash, which two runs of one seed have in common; lines
 * to read are made only where they are asked for, in a second run of the same seed.
 */
import { crc32c } from '../../../src/kafka/index.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Owner } from '../kernel/owner.ts';

export interface TraceLine {
  readonly atUs: number;
  readonly owner: string;
  readonly kind: string;
  readonly text: string;
}

export class Trace {
  /** Undefined: only the hash is made. */
  readonly lines: TraceLine[] | undefined;
  entries = 0;
  readonly #kernel: Kernel;
  #low = 0x811c9dc5;
  #high = 0x01000193;

  constructor(kernel: Kernel, readable: boolean) {
    this.#kernel = kernel;
    this.lines = readable ? [] : undefined;
  }

  /** 16 hex digits. */
  get hash(): string {
    return [this.#high, this.#low].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
  }

  /** Something that is worth a line: a state, a fault, a write to a disk. */
  say(kind: string, text: string, owner: Owner = this.#kernel.owner): void {
    this.#mix(owner, crc32c(Buffer.from(`${kind} ${text}`), 0));
    this.lines?.push({ atUs: this.#kernel.nowUs, owner: owner.name, kind, text });
  }

  /** A line for readers alone: what it says follows from what is in the hash already. */
  explain(kind: string, text: () => string, owner: Owner = this.#kernel.owner): void {
    this.lines?.push({ atUs: this.#kernel.nowUs, owner: owner.name, kind, text: text() });
  }

  /** Bytes of the network. Hot. */
  bytes(owner: Owner, bytes: Buffer): void {
    this.#mix(owner, crc32c(bytes, 0));
  }

  #mix(owner: Owner, word: number): void {
    this.entries++;
    const { nowUs } = this.#kernel;
    for (const part of [nowUs | 0, (nowUs / 2 ** 32) | 0, owner.id, word | 0]) {
      this.#low = Math.imul(this.#low ^ part, 0x01000193);
      this.#high = Math.imul(this.#high ^ (this.#low >>> 7) ^ part, 0x85ebca6b);
    }
  }
}

/** `12.345678 m1.2     state   RUNNING` */
export function lineText({ atUs, owner, kind, text }: TraceLine): string {
  return `${(atUs / 1e6).toFixed(6).padStart(11)} ${owner.padEnd(8)} ${kind.padEnd(8)} ${text}`;
}

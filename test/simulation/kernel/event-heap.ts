/** What is to happen, by virtual time; what is due at the same time happens in the order in which it was planned. */
import type { Owner } from './owner.ts';

/** `timer`: set by code under test; `io`: a socket's or a disk's; `call`: the simulation's own. */
export type EventKind = 'timer' | 'io' | 'call';

export class KernelEvent {
  atUs: number;
  readonly sequence: number;
  readonly owner: Owner;
  readonly kind: EventKind;
  /** Where it was planned, for those who look for what is left over; only where the kernel keeps it. */
  stack: string | undefined;
  /** Undefined once it was cancelled or has run. */
  run: (() => void) | undefined;

  constructor(atUs: number, sequence: number, owner: Owner, kind: EventKind, run: () => void) {
    this.atUs = atUs;
    this.sequence = sequence;
    this.owner = owner;
    this.kind = kind;
    this.run = run;
  }
}

/** A binary heap. Hot. */
export class EventHeap {
  readonly #events: KernelEvent[] = [];

  get size(): number {
    return this.#events.length;
  }

  /** Without an order, cancelled ones included. */
  all(): readonly KernelEvent[] {
    return this.#events;
  }

  push(event: KernelEvent): void {
    const events = this.#events;
    let at = events.length;
    events.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const other = events[parent]!;
      if (!isBefore(event, other)) break;
      events[at] = other;
      at = parent;
    }
    events[at] = event;
  }

  pop(): KernelEvent | undefined {
    const events = this.#events;
    const first = events[0];
    const last = events.pop();
    if (first === undefined || events.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child++;
      if (!isBefore(events[child]!, last!)) break;
      events[at] = events[child]!;
      at = child;
    }
    events[at] = last!;
    return first;
  }
}

function isBefore(a: KernelEvent, b: KernelEvent): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.sequence < b.sequence);
}

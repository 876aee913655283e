/** Small random programs, in the lines that program.ts and Program.java read. */
import fc from 'fast-check';

/** What a statement may stand on: keys are strings or windowed, values strings or longs. */
interface Made {
  readonly id: number;
  readonly kind: 'stream' | 'table' | 'grouped';
  readonly key: 's' | 'w';
  readonly value: 's' | 'l';
}

/** Where a statement's choices come from. */
interface Choices {
  readonly op: number;
  readonly from: number;
  readonly other: number;
  readonly name: number;
  readonly store: number;
  readonly flags: number;
}

const choices: fc.Arbitrary<Choices> = fc.record({
  op: fc.nat(999),
  from: fc.nat(999),
  other: fc.nat(999),
  name: fc.nat(99),
  store: fc.nat(99),
  flags: fc.nat(255),
});

const STREAM_OPS = [
  ...['filter', 'filterNot', 'map', 'mapValues', 'flatMap', 'flatMapValues', 'selectKey', 'peek', 'forEach'],
  ...['merge', 'merge', 'split', 'repartition', 'process', 'processValues', 'to', 'to'],
  ...['groupBy', 'groupBy', 'groupByKey', 'groupByKey'],
];
const GROUPED_OPS = ['count', 'reduce', 'aggregate', 'windowedCount'];
const TABLE_OPS = ['tableFilter', 'tableFilterNot', 'tableMapValues', 'toStream', 'toStream'];
export const TOPICS = ['zebra', 'apple', 'mango', 'in'];
// Short and long, so that their hashes and their order differ from those of generated names.
const WORDS = ['z', 'alpha', 'Kilo', 'b.b', 'x-y', 'KSTREAM-FILTER-0000000003', 'my_processor', 'AaAa', 'BBBB', 'n'];

/** Programs that mostly are right; now and then a name stands twice, which both must refuse. */
export const programs: fc.Arbitrary<readonly string[]> = fc
  .array(choices, { minLength: 3, maxLength: 24, size: 'max' })
  .map((steps) => new Generator().lines(steps));

class Generator {
  readonly #made: Made[] = [];
  readonly #stores: string[] = [];
  readonly #lines: string[] = [];
  #names = 0;
  #sinks = 0;

  lines(steps: readonly Choices[]): readonly string[] {
    for (const [i, step] of steps.entries()) {
      if (i === 0 || step.op % 7 === 0) this.#root(step, i);
      else this.#derived(step);
    }
    return this.#lines;
  }

  #root({ op, from, other, flags, name }: Choices, position: number): void {
    if (position > 0 && flags % 4 === 0) {
      const store = `store${this.#stores.length}`;
      this.#stores.push(store);
      this.#line('store', { name: store });
      return;
    }
    const topic = TOPICS[from % TOPICS.length]!;
    if (op % 3 === 0) {
      const id = this.#make('table', 's', 's');
      this.#line('table', { id, topic, ...this.#named(name), ...this.#stored(other, flags) });
      return;
    }
    const id = this.#make('stream', 's', 's');
    const second = TOPICS[other % TOPICS.length]!;
    const topics = flags % 16 === 1 ? `${topic},${second}` : topic;
    const subscription: Record<string, string> = flags % 16 === 2 ? { pattern: `p-${other % 2}.*` } : { topics };
    const reset: Record<string, string> = flags % 32 === 3 ? { reset: 'earliest' } : {};
    this.#line('stream', { id, ...subscription, ...this.#named(name), ...reset });
  }

  #derived(step: Choices): void {
    const from = this.#made[step.from % this.#made.length]!;
    if (from.kind === 'grouped') this.#aggregate(from, step);
    else if (from.kind === 'table') this.#onTable(from, step);
    else this.#onStream(from, step);
  }

  #aggregate(from: Made, { op, store, flags, name }: Choices): void {
    const kind = GROUPED_OPS[op % GROUPED_OPS.length]!;
    const counts = kind === 'count' || kind === 'windowedCount';
    const id = this.#make('table', kind === 'windowedCount' ? 'w' : 's', counts ? 'l' : 's');
    const { materialized: _, ...stored } = this.#stored(store, flags);
    this.#line(kind, { id, from: from.id, ...this.#named(name), ...stored });
  }

  #onTable(from: Made, { op, store, flags, name }: Choices): void {
    const kind = TABLE_OPS[op % TABLE_OPS.length]!;
    if (kind === 'toStream') {
      const selects = flags % 3 === 0;
      const id = this.#make('stream', selects ? 's' : from.key, from.value);
      this.#line(kind, { id, from: from.id, selects: selects ? 1 : 0, ...this.#named(name) });
      return;
    }
    const id = this.#make('table', from.key, kind === 'tableMapValues' ? 's' : from.value);
    const stored = from.key === 's' ? this.#stored(store, flags) : {};
    this.#line(kind, { id, from: from.id, value: from.value, ...this.#named(name), ...stored });
  }

  #onStream(from: Made, { op, other, store, flags, name }: Choices): void {
    let kind = STREAM_OPS[op % STREAM_OPS.length]!;
    if (from.key !== 's' || from.value !== 's') kind = flags % 4 === 0 ? 'filter' : 'map';
    const fields: Record<string, unknown> = { from: from.id, ...this.#named(name) };
    if (kind === 'merge') {
      const others = this.#made.filter((m) => m.kind === 'stream' && m.key === 's' && m.value === 's');
      fields['other'] = others[other % others.length]!.id;
    } else if (kind === 'to') fields['topic'] = `out${this.#sinks++}`;
    else if (kind === 'process' || kind === 'processValues') {
      const stores = this.#stores.filter((_store, i) => ((store >> i) & 1) === 1);
      if (stores.length > 0) fields['stores'] = stores.join(',');
    } else if (kind === 'split') {
      const ids = Array.from({ length: 1 + (flags % 3) }, () => this.#make('stream', 's', 's'));
      fields['ids'] = ids.join(',');
      fields['default'] = flags % 2;
      if (other % 3 === 0) fields['branch0'] = `-${WORDS[other % WORDS.length]}`;
    }
    if (kind === 'groupBy' || kind === 'groupByKey') fields['id'] = this.#make('grouped', 's', 's');
    else if (!['to', 'forEach', 'split'].includes(kind)) {
      const kept = kind === 'filter';
      fields['id'] = this.#make('stream', kept ? from.key : 's', kept ? from.value : 's');
    }
    this.#line(kind, fields);
  }

  #make(kind: Made['kind'], key: Made['key'], value: Made['value']): number {
    const id = this.#made.length;
    this.#made.push({ id, kind, key, value });
    return id;
  }

  /** A name in two of five, the same one again in one of a hundred. */
  #named(choice: number): { name?: string } {
    if (choice >= 40) return {};
    const word = WORDS[choice % WORDS.length]!;
    return { name: choice === 39 ? word : `${word}${this.#names++}` };
  }

  #stored(choice: number, flags: number): Record<string, string> {
    return {
      ...(choice % 3 === 0 ? { store: `kept${this.#names++}` } : {}),
      ...(choice % 4 === 0 ? { caching: String(flags % 2) } : {}),
      ...(choice % 5 === 0 ? { materialized: '1' } : {}),
    };
  }

  #line(op: string, fields: Record<string, unknown>): void {
    this.#lines.push([op, ...Object.entries(fields).map(([key, value]) => `${key}=${value}`)].join('\t'));
  }
}

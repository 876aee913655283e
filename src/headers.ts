/** Record headers: names may repeat, order counts, a value may be null. */
export interface Header {
  readonly key: string;
  /** Null where the header has a null value. */
  readonly value: Buffer | null;
}

export const NO_HEADERS: readonly Header[] = Object.freeze([]);

/**
 * What the broker keeps besides records: topics, groups, positions, transactions. A map of JSON values that is logged line
 * by line, and read back at start; a line that was cut off ends the reading. Lines go to the system at once: they survive
 * the process, though not a power cut.
 *
 *     <crc-32c, 8 hex digits> <JSON: [key, value] or [key]>        the latter deletes
 */
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32c } from '../../kafka/index.ts';
import { appendWhole } from './storage.ts';

/** Bytes of lines written after which the file is made anew, holding what is valid only. */
const REWRITE_AFTER_BYTES = 8 * 1024 * 1024;

export class StateStore {
  readonly #values = new Map<string, unknown>();
  readonly #path: string | undefined;
  #file: number | undefined;
  #size = 0;
  #written = 0;

  /** @param folder undefined: in memory */
  constructor(folder: string | undefined) {
    if (folder === undefined) return;
    mkdirSync(folder, { recursive: true });
    this.#path = join(folder, 'state.log');
    this.#load();
    this.#rewrite();
  }

  get<T>(key: string): T | undefined {
    return this.#values.get(key) as T | undefined;
  }

  /** Keys without the prefix, and values. */
  *entries<T>(prefix: string): Iterable<readonly [string, T]> {
    for (const [key, value] of this.#values)
      if (key.startsWith(prefix)) yield [key.slice(prefix.length), value as T] as const;
  }

  set(key: string, value: unknown): void {
    this.#append([key, value]);
    this.#values.set(key, value);
    this.#rewriteIfLong();
  }

  delete(key: string): void {
    if (!this.#values.has(key)) return;
    this.#append([key]);
    this.#values.delete(key);
    this.#rewriteIfLong();
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #append(entry: readonly unknown[]): void {
    if (this.#path === undefined) return;
    if (this.#file === undefined) {
      this.#file = openSync(this.#path, 'a');
      this.#size = fstatSync(this.#file).size;
    }
    const bytes = Buffer.from(line(entry));
    appendWhole(this.#file, bytes, this.#size);
    this.#size += bytes.length;
    this.#written += bytes.length;
  }

  #rewriteIfLong(): void {
    if (this.#written <= REWRITE_AFTER_BYTES) return;
    try {
      this.#rewrite();
    } catch {
      // No room for a second file: the long one goes on, and this is tried again as many bytes later.
      this.#written = 0;
    }
  }

  #load(): void {
    let text: string;
    try {
      text = readFileSync(this.#path!, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
      throw error;
    }
    for (const one of text.split('\n')) {
      const entry = parse(one);
      if (entry === undefined) return;
      const [key, value] = entry;
      if (entry.length === 1) this.#values.delete(key);
      else this.#values.set(key, value);
    }
  }

  #rewrite(): void {
    this.close();
    const path = this.#path!;
    writeFileSync(`${path}.new`, [...this.#values].map(line).join(''));
    renameSync(`${path}.new`, path);
    this.#written = 0;
  }
}

function line(entry: readonly unknown[]): string {
  const json = JSON.stringify(entry);
  return `${crc32c(Buffer.from(json)).toString(16).padStart(8, '0')} ${json}\n`;
}

function parse(text: string): [string, unknown] | [string] | undefined {
  const json = text.slice(9);
  if (json === '' || crc32c(Buffer.from(json)).toString(16).padStart(8, '0') !== text.slice(0, 8)) return undefined;
  return JSON.parse(json) as [string, unknown] | [string];
}

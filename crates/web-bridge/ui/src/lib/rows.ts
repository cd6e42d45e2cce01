import type { Entry } from './entry';
import type { Gap } from './wire';

/** One line of the list. `key` gives its place; keys never change. */
export type Row = EntryRow | GapRow | SessionRow;

export interface EntryRow {
  readonly kind: 'entry';
  readonly key: number;
  readonly entry: Entry;
}

/** Entries that were not sent. */
export interface GapRow {
  readonly kind: 'gap';
  readonly key: number;
  readonly epoch: number;
  readonly sessionId: string;
  readonly gap: Gap;
}

/** A new session begins here. */
export interface SessionRow {
  readonly kind: 'session';
  readonly key: number;
  readonly sessionId: string;
}

/** Index of the first row whose key is not below `key`. */
export function lowerBound(rows: readonly Row[], key: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((rows[middle]?.key ?? Infinity) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Puts a row at its place; nearly always that is the end. Answers `false`, and
 * changes nothing, if a row with that key is there already.
 */
export function place(rows: Row[], row: Row): boolean {
  const last = rows.at(-1);
  if (last === undefined || last.key < row.key) {
    rows.push(row);
    return true;
  }
  const index = lowerBound(rows, row.key);
  if (rows[index]?.key === row.key) return false;
  rows.splice(index, 0, row);
  return true;
}

import type { Entry } from './entry';
import { EVERYTHING, matcher, type Filter } from './filter';
import { lowerBound, place, type Row, type GapRow } from './rows';
import { Tally } from './tally';
import type { Gap, Repeat } from './wire';

/** How many entries the page keeps, and what it does beyond that. */
export interface Bounds {
  /** Entries kept while following the end; the oldest go first. */
  readonly kept: number;
  /** While someone is reading, nothing goes until this many are kept. */
  readonly reading: number;
  /** Beyond that, the newest so many wait aside until the reader returns. */
  readonly aside: number;
}

export const BOUNDS: Bounds = { kept: 20_000, reading: 40_000, aside: 5_000 };

/** Sequence numbers of one session stay below this; see `keyOf`. */
const SESSION_SPAN = 1e10;

/**
 * The entries this page holds, in the order of the session, and the part of
 * them that passes the filter.
 *
 * Nothing here is reactive: a thousand entries a second are plain pushes, and
 * the page asks for the few rows it shows.
 */
export class Journal {
  /** Everything held. */
  readonly rows: Row[] = [];
  /** What passes the filter, with all markers. */
  readonly shown: Row[] = [];
  readonly tally = new Tally();
  /** Entries among `shown`. */
  matching = 0;
  /** Entries that arrived, ever, and passed the filter of that time. */
  arrived = 0;
  /** Entries let go because the page keeps only so many. */
  dropped = 0;

  readonly #bounds: Bounds;
  readonly #keys = new Map<string, number>();
  #matches = matcher(EVERYTHING);
  #session: { id: string; epoch: number } | undefined;
  #reading = false;
  #aside: Row[] = [];
  #asideLost = 0;

  constructor(bounds: Bounds = BOUNDS) {
    this.#bounds = bounds;
  }

  get sessionId(): string | undefined {
    return this.#session?.id;
  }

  /** Entries held, shown or not. */
  get total(): number {
    return this.tally.total;
  }

  /** A session begins; if another came before, a row says so. */
  startSession(id: string): void {
    const last = this.#session;
    if (last?.id === id) return;
    this.#session = { id, epoch: (last?.epoch ?? 0) + 1 };
    if (last !== undefined) {
      this.#take({ kind: 'session', key: this.#keyOf(-0.75), sessionId: id });
    }
  }

  /** Takes entries in; one it already has is passed over. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    if (this.#session === undefined) this.startSession(first.sessionId);
    if (this.#isFirst(first)) this.#markEarlier(this.#keyOf(first.seq), first);
    for (const entry of entries) {
      this.#take({ kind: 'entry', key: this.#keyOf(entry.seq), entry });
    }
    this.#trim();
  }

  /** Marks entries that were not sent, at their place. */
  gap(gap: Gap): void {
    const { id: sessionId, epoch } = (this.#session ??= { id: '', epoch: 1 });
    this.#take({ kind: 'gap', key: this.#keyOf(gap.after + 0.5), epoch, sessionId, gap });
  }

  /** Entries occurred again: their rows are replaced by ones that say so. */
  fold(repeats: readonly Repeat[]): void {
    for (const repeat of repeats) {
      const key = this.#keys.get(repeat.of);
      if (key !== undefined) this.#recount(key, repeat);
    }
  }

  /** Chooses what is shown, of everything held. */
  select(filter: Filter): void {
    this.#matches = matcher(filter);
    this.shown.length = 0;
    this.matching = 0;
    for (const row of this.rows) this.#show(row);
  }

  /** While someone reads, nothing that could be on the screen is let go. */
  reading(reading: boolean): void {
    this.#reading = reading;
    if (reading) return;
    this.#returnAside();
    this.#trim();
  }

  /**
   * Puts loaded entries where the gap is. `rest` is what is still missing of
   * it, if anything. Answers how many shown rows were added.
   */
  fill(row: GapRow, entries: readonly Entry[], rest: Gap | undefined): number {
    const before = this.shown.length;
    this.#remove(row.key);
    const base = row.epoch * SESSION_SPAN;
    for (const entry of entries) this.#insert({ kind: 'entry', key: base + entry.seq, entry });
    if (rest !== undefined) this.#insert({ ...row, key: base + rest.after + 0.5, gap: rest });
    return this.shown.length - before;
  }

  /** Where in `shown` the row with this key is, or where it would be. */
  indexOf(key: number): number {
    return lowerBound(this.shown, key);
  }

  /** The entry shown before the row with this key, if that is an entry. */
  before(key: number): Entry | undefined {
    const row = this.shown[this.indexOf(key) - 1];
    return row?.kind === 'entry' ? row.entry : undefined;
  }

  /**
   * A row's place in the order of all sessions this page has seen. Markers sit
   * between the whole numbers that entries have.
   */
  #keyOf(seq: number): number {
    return (this.#session?.epoch ?? 1) * SESSION_SPAN + seq;
  }

  /** Whether the page has nothing of this session before this entry. */
  #isFirst({ seq }: Entry): boolean {
    const before = (row: Row | undefined) => row !== undefined && row.key >= this.#keyOf(0);
    return !before(this.rows[lowerBound(this.rows, this.#keyOf(seq)) - 1]) && !before(this.#aside.at(-1));
  }

  #take(row: Row): void {
    if (this.#reading && this.rows.length >= this.#bounds.reading) {
      this.#putAside(row);
      return;
    }
    const before = this.matching;
    this.#insert(row);
    this.arrived += this.matching - before;
  }

  #putAside(row: Row): void {
    if (row.kind === 'entry' && this.#matches(row.entry)) this.arrived += 1;
    this.#aside.push(row);
    const excess = this.#aside.length - this.#bounds.aside;
    if (excess < this.#bounds.aside) return; // cut now and then, not every time
    this.#asideLost += this.#aside.splice(0, excess).length;
  }

  #returnAside(): void {
    const first = this.#aside[0];
    if (this.#asideLost > 0 && first !== undefined) this.#gapBefore(first);
    for (const row of this.#aside) this.#insert(row);
    this.dropped += this.#asideLost;
    this.#aside = [];
    this.#asideLost = 0;
  }

  #gapBefore(row: Row): void {
    const last = this.rows.at(-1);
    if (last?.kind !== 'entry' || row.kind !== 'entry') return;
    if (last.entry.sessionId !== row.entry.sessionId) return;
    this.gap({
      reason: 'not_kept_here',
      count: this.#asideLost,
      after: last.entry.seq,
      before: row.entry.seq,
    });
  }

  #insert(row: Row): void {
    if (!place(this.rows, row)) return;
    if (row.kind === 'entry') {
      this.tally.add(row.entry);
      this.#keys.set(row.entry.id, row.key);
    }
    this.#show(row);
  }

  #show(row: Row): void {
    if (row.kind === 'entry') {
      if (!this.#matches(row.entry)) return;
      this.matching += 1;
    }
    place(this.shown, row);
  }

  #remove(key: number): void {
    for (const list of [this.rows, this.shown]) {
      const index = lowerBound(list, key);
      if (list[index]?.key === key) list.splice(index, 1);
    }
  }

  #recount(key: number, { count, last }: Repeat): void {
    for (const list of [this.rows, this.shown]) {
      const index = lowerBound(list, key);
      const row = list[index];
      if (row?.key !== key || row.kind !== 'entry') continue;
      list[index] = { ...row, entry: { ...row.entry, repeats: count, lastRepeat: last } };
    }
  }

  #trim(): void {
    const excess = this.rows.length - this.#bounds.kept;
    if (this.#reading || excess <= 0) return;
    for (const row of this.rows.splice(0, excess)) this.#forget(row);
    const first = this.rows[0];
    const gone = first === undefined ? this.shown.length : lowerBound(this.shown, first.key);
    for (const row of this.shown.splice(0, gone)) if (row.kind === 'entry') this.matching -= 1;
    if (first?.kind === 'entry') this.#markEarlier(first.key, first.entry);
  }

  /** A row before the first entry offers what the session has before it. */
  #markEarlier(key: number, first: Entry): void {
    if (first.seq <= 1) return;
    const epoch = Math.floor(key / SESSION_SPAN);
    const gap = { reason: 'earlier', count: undefined, after: -1, before: first.seq };
    this.#insert({
      kind: 'gap',
      key: epoch * SESSION_SPAN - 0.5,
      epoch,
      sessionId: first.sessionId,
      gap,
    });
  }

  #forget(row: Row): void {
    if (row.kind !== 'entry') return;
    this.tally.remove(row.entry);
    this.#keys.delete(row.entry.id);
    this.dropped += 1;
  }
}

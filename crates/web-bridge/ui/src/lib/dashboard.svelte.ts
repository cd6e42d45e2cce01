import { fetchGap, fetchLedger, restOf } from './api';
import {
  EVERYTHING,
  fromQuery,
  isEverything,
  searchPattern,
  toQuery,
  type Filter,
} from './filter';
import { Journal } from './journal';
import type { Action } from './keys';
import type { Ledger } from './ledger';
import type { Level } from './level';
import type { GapRow } from './rows';
import { Scroll } from './scroll.svelte';
import { LogStream, type Connection } from './stream';
import type { HostCount, NameCount } from './tally';
import { applyTheme, preferredTheme, rememberTheme, type Theme } from './theme';
import type { StreamEvent } from './wire';

const SEARCH_DELAY = 120;
const COUNTS_EVERY = 200;
const LEDGER_EVERY = 2000;
/** A service that takes longer to answer is taken for stuck. */
const ANSWER_WITHIN = 5000;
const PATIENCE = 600;
const HIDDEN_FLUSH = 1000;
/** So many entries waiting are taken in at once, painted or not. */
const MOST_WAITING = 5000;
/** Services that log about the logging itself: they are no attached program. */
const OWN_SERVICES: ReadonlySet<string> = new Set([
  'bus_bridge',
  'log_ingest',
  'logging_service',
  'web_bridge',
]);

/** The figures beside the list; renewed a few times a second. */
export interface Counts {
  readonly matching: number;
  readonly total: number;
  readonly dropped: number;
  readonly levels: Readonly<Record<Level, number>>;
  readonly services: readonly NameCount[];
  readonly hosts: readonly HostCount[];
}

/** Everything the page knows; components show it and call its methods. */
export class Dashboard {
  readonly journal = new Journal();
  readonly scroll = new Scroll(this.journal, () => this.#countSoon());

  filter = $state.raw<Filter>(EVERYTHING);
  /** What is in the search box; `filter.text` follows a moment later. */
  searchText = $state('');
  counts = $state.raw<Counts>(this.#count());
  connection = $state.raw<Connection>({ state: 'connecting' });
  sessionId = $state<string>();
  ledger = $state.raw<Ledger>();
  /** Entries the server sent and this page could not read. */
  unreadable = $state(0);
  theme = $state<Theme>('dark');
  helping = $state(false);
  loading = $state<number>();
  loadError = $state<{ key: number; text: string }>();

  readonly pattern = $derived(searchPattern(this.filter.text));
  readonly filtering = $derived(!isEverything(this.filter));
  /** Whether any program besides the service itself has logged something. */
  readonly attached = $derived(
    this.counts.services.some(({ key }) => !OWN_SERVICES.has(key)),
  );
  /** Whether there are entries of more than one host. */
  readonly severalHosts = $derived(this.counts.hosts.length > 1);
  /** Whether the page has waited long enough to say that nothing is there. */
  patient = $state(false);

  readonly #stream = new LogStream(
    (event) => this.#arrived(event),
    (connection) => (this.connection = connection),
  );
  #waiting: StreamEvent[] = [];
  #waitingEntries = 0;
  #cancelFlush: (() => void) | undefined;
  #countTimer: ReturnType<typeof setTimeout> | undefined;
  #searchTimer: ReturnType<typeof setTimeout> | undefined;

  /** Begins to live; answers how to stop. */
  start(): () => void {
    this.theme = preferredTheme();
    applyTheme(this.theme);
    this.restore();
    this.#stream.open();
    const polling = new AbortController();
    void this.#poll(polling.signal);
    const patience = setTimeout(() => (this.patient = true), PATIENCE);
    return () => {
      clearTimeout(patience);
      polling.abort();
      this.#stream.close();
    };
  }

  /** Connects again at once instead of waiting. */
  reconnect(): void {
    this.#stream.open();
  }

  /** The tab was hidden or shown: frames stop while hidden. */
  visibilityChanged(): void {
    if (this.#waiting.length === 0) return;
    this.#cancelFlush?.();
    this.#flush();
  }

  // What is shown

  /** Applies a filter to everything held, and puts it in the URL. */
  choose(filter: Filter): void {
    this.#select(filter);
    history.pushState(null, '', pageUrl(filter));
  }

  /** Takes text from the search box; filters once typing rests. */
  search(text: string): void {
    this.searchText = text;
    clearTimeout(this.#searchTimer);
    this.#searchTimer = setTimeout(() => {
      this.#select({ ...this.filter, text });
      history.replaceState(null, '', pageUrl(this.filter));
    }, SEARCH_DELAY);
  }

  clearFilter(): void {
    clearTimeout(this.#searchTimer);
    this.searchText = '';
    this.choose(EVERYTHING);
  }

  /** Takes the filter from the URL: at the start, and on Back. */
  restore(): void {
    const filter = fromQuery(location.search);
    this.searchText = filter.text;
    this.#select(filter);
  }

  /** Back to the end. */
  live(): void {
    if (this.scroll.selecting()) document.getSelection()?.removeAllRanges();
    this.scroll.cursor = undefined;
    this.scroll.follow();
    this.scroll.settle();
  }

  /** Selecting text pauses; letting go at the end goes on. */
  selectionChanged(): void {
    if (this.scroll.selecting()) this.scroll.pause();
    else if (!this.scroll.following && this.scroll.cursor === undefined) this.scroll.followAtEnd();
  }

  /** Loads a page of what a gap left out, and puts it in its place. */
  async load(row: GapRow): Promise<void> {
    if (this.loading !== undefined) return;
    this.loading = row.key;
    this.loadError = undefined;
    try {
      const page = await fetchGap(row);
      this.scroll.pause();
      const fill = () => void this.journal.fill(row, page.entries, restOf(row.gap, page));
      this.scroll.hold(fill);
      this.#countSoon();
    } catch (error) {
      this.loadError = { key: row.key, text: error instanceof Error ? error.message : 'failed' };
    } finally {
      this.loading = undefined;
    }
  }

  // What the keyboard does

  act(action: Action): void {
    switch (action) {
      case 'next':
        return this.scroll.step(1);
      case 'previous':
        return this.scroll.step(-1);
      case 'page-down':
        return this.scroll.page(1);
      case 'page-up':
        return this.scroll.page(-1);
      case 'start':
        return this.scroll.toStart();
      case 'live':
        return this.live();
      case 'unfold':
        return this.#unfold();
      case 'help':
        this.helping = !this.helping;
        return;
      case 'back':
        return this.#back();
      case 'search': // needs the search box, which the page has
    }
  }

  toggleTheme(): void {
    this.theme = this.theme === 'dark' ? 'light' : 'dark';
    applyTheme(this.theme);
    rememberTheme(this.theme);
  }

  #unfold(): void {
    const { cursor } = this.scroll;
    if (cursor === undefined) return;
    const row = this.journal.shown[this.journal.indexOf(cursor)];
    if (row?.key !== cursor) return;
    if (row.kind === 'entry') this.scroll.toggle(cursor);
    else if (row.kind === 'gap') void this.load(row);
  }

  #back(): void {
    const { cursor } = this.scroll;
    if (this.searchText !== '') this.search('');
    else if (cursor !== undefined && this.scroll.isUnfolded(cursor)) this.scroll.toggle(cursor);
    else this.scroll.cursor = undefined;
  }

  #select(filter: Filter): void {
    this.filter = filter;
    this.scroll.hold(() => this.journal.select(filter));
    this.#renewCounts();
  }

  // What arrives

  /** Keeps an event for the next frame, so that a burst is one rendering. */
  #arrived(event: StreamEvent): void {
    this.#waiting.push(event);
    if (event.kind === 'entries') this.#waitingEntries += event.entries.length;
    if (this.#waitingEntries > MOST_WAITING) {
      this.#cancelFlush?.();
      this.#flush();
    } else {
      this.#cancelFlush ??= this.#schedule();
    }
  }

  #schedule(): () => void {
    if (document.hidden) {
      const timer = setTimeout(() => this.#flush(), HIDDEN_FLUSH);
      return () => clearTimeout(timer);
    }
    const frame = requestAnimationFrame(() => this.#flush());
    return () => cancelAnimationFrame(frame);
  }

  #flush(): void {
    this.#cancelFlush = undefined;
    const events = this.#waiting;
    this.#waiting = [];
    this.#waitingEntries = 0;
    for (const event of events) this.#take(event);
    this.scroll.refresh();
    if (this.attached) this.#countSoon();
    else this.#renewCounts(); // the first entries take the place of the hint at once
  }

  #take(event: StreamEvent): void {
    switch (event.kind) {
      case 'session':
        this.journal.startSession(event.sessionId);
        this.sessionId = event.sessionId;
        return;
      case 'entries':
        this.journal.append(event.entries);
        this.unreadable += event.unreadable;
        return;
      case 'repeats':
        return this.journal.fold(event.repeats);
      case 'gap':
        return this.journal.gap(event.gap);
    }
  }

  #countSoon(): void {
    this.#countTimer ??= setTimeout(() => this.#renewCounts(), COUNTS_EVERY);
  }

  #renewCounts(): void {
    clearTimeout(this.#countTimer);
    this.#countTimer = undefined;
    this.counts = this.#count();
  }

  #count(): Counts {
    const { matching, total, dropped, tally } = this.journal;
    const names = { services: tally.services(), hosts: tally.hosts() };
    return { matching, total, dropped, levels: tally.levels(), ...names };
  }

  async #poll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (!document.hidden) {
        const late = AbortSignal.timeout(ANSWER_WITHIN);
        const ledger = await fetchLedger(AbortSignal.any([signal, late])).catch(() => undefined);
        this.ledger = ledger ?? this.ledger;
        if (late.aborted && ledger === undefined) this.#stream.doubt();
      }
      await new Promise((resolve) => setTimeout(resolve, LEDGER_EVERY));
    }
  }
}

function pageUrl(filter: Filter): string {
  const query = toQuery(filter);
  return query === '' ? location.pathname : `?${query}`;
}

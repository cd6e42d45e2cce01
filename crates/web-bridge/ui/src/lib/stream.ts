import { EVENTS, type StreamEvent } from './wire';

/** How the live connection is doing, as the reader is told. */
export type Connection =
  | { readonly state: 'connecting' }
  | { readonly state: 'connected' }
  | { readonly state: 'reconnecting' | 'disconnected'; readonly since: number };

/** Where to go on: after this entry of this session. */
export interface Cursor {
  readonly sessionId: string;
  readonly seq: number | undefined;
}

/** What the stream needs of the browser, so that tests can stand in for it. */
export interface Surroundings {
  open(url: string): EventSource;
  now(): number;
  random(): number;
  after(milliseconds: number, action: () => void): () => void;
}

export const BROWSER: Surroundings = {
  open: (url) => new EventSource(url),
  now: () => Date.now(),
  random: () => Math.random(),
  after: (milliseconds, action) => {
    const timer = setTimeout(action, milliseconds);
    return () => clearTimeout(timer);
  },
};

/** Out of touch for this long, the page says "disconnected"; it tries on. */
export const GIVE_UP_HOPE = 15_000;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;
const RECENT = 1000;

/** The address that continues after `cursor`, or begins with recent entries. */
export function streamUrl(cursor: Cursor | undefined): string {
  const query = new URLSearchParams({ recent: String(RECENT) });
  if (cursor?.seq !== undefined) {
    query.set('after', String(cursor.seq));
    query.set('session', cursor.sessionId);
  }
  return `api/logs/stream?${query}`;
}

/** Milliseconds before try number `attempt` (from 0): doubling, with jitter. */
export function backoff(attempt: number, random: number): number {
  const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** attempt);
  return wait * (0.75 + random / 2);
}

/**
 * The cursor after an event. Only entries move it: the count of a repeat is
 * absolute, so getting it twice does no harm, and missing an entry would.
 */
export function advance(cursor: Cursor | undefined, event: StreamEvent): Cursor | undefined {
  switch (event.kind) {
    case 'session':
      return cursor?.sessionId === event.sessionId
        ? cursor
        : { sessionId: event.sessionId, seq: undefined };
    case 'entries': {
      const newest = event.entries.reduce((seq, entry) => Math.max(seq, entry.seq), -1);
      if (newest < 0) return cursor;
      const sessionId = cursor?.sessionId ?? event.entries[0]?.sessionId ?? '';
      return { sessionId, seq: Math.max(newest, cursor?.seq ?? -1) };
    }
    default:
      return cursor;
  }
}

/**
 * The live stream of entries. It reconnects by itself and goes on where it
 * was, because the browser's own reconnecting can neither tell a new session
 * from the old one nor say how long it has been away.
 */
export class LogStream {
  #source: EventSource | undefined;
  #cursor: Cursor | undefined;
  #attempt = 0;
  #lostAt: number | undefined;
  #cancelRetry: (() => void) | undefined;

  constructor(
    private readonly onEvent: (event: StreamEvent) => void,
    private readonly onConnection: (connection: Connection) => void,
    private readonly world: Surroundings = BROWSER,
  ) {}

  /** Opens the stream, or tries again at once if it is waiting to. */
  open(): void {
    this.close();
    const source = this.world.open(streamUrl(this.#cursor));
    this.#source = source;
    for (const [name, read] of Object.entries(EVENTS)) {
      source.addEventListener(name, (event) => this.#receive(read((event as MessageEvent).data)));
    }
    source.onerror = () => this.#lost();
  }

  /** The service does not answer, though the connection is not broken: begins anew. */
  doubt(): void {
    if (this.#source !== undefined && this.#lostAt === undefined) this.#lost();
  }

  close(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    this.#source?.close();
    this.#source = undefined;
  }

  #receive(event: StreamEvent | undefined): void {
    if (event === undefined) return;
    if (event.kind === 'session') this.#connected();
    this.#cursor = advance(this.#cursor, event);
    this.onEvent(event);
  }

  #connected(): void {
    this.#attempt = 0;
    this.#lostAt = undefined;
    this.onConnection({ state: 'connected' });
  }

  #lost(): void {
    this.close();
    const now = this.world.now();
    this.#lostAt ??= now;
    const state = now - this.#lostAt < GIVE_UP_HOPE ? 'reconnecting' : 'disconnected';
    this.onConnection({ state, since: this.#lostAt });
    const wait = backoff(this.#attempt, this.world.random());
    this.#attempt += 1;
    this.#cancelRetry = this.world.after(wait, () => this.open());
  }
}

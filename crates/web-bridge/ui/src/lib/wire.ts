import { parseEntry, type Entry } from './entry';
import { array, number, object, parse, string } from './json';

/** What one event of the stream says. */
export type StreamEvent =
  | { readonly kind: 'session'; readonly sessionId: string }
  | { readonly kind: 'entries'; readonly entries: readonly Entry[]; readonly unreadable: number }
  | { readonly kind: 'repeats'; readonly repeats: readonly Repeat[] }
  | { readonly kind: 'gap'; readonly gap: Gap };

/** An entry already sent occurred again. `count` is absolute, not a difference. */
export interface Repeat {
  readonly of: string;
  readonly count: number;
  readonly last: string | undefined;
}

/** Entries between two sequence numbers that were not sent. */
export interface Gap {
  readonly reason: string;
  readonly count: number | undefined;
  readonly after: number;
  readonly before: number | undefined;
}

/** A page of `/api/logs`. */
export interface Page {
  readonly entries: readonly Entry[];
  readonly next: number | undefined;
}

/** Names of the events the page listens to, and how each is read. */
export const EVENTS: Readonly<Record<string, (data: string) => StreamEvent | undefined>> = {
  session: readSession,
  entry: readEntries,
  repeat: readRepeats,
  gap: readGap,
};

export function readSession(data: string): StreamEvent | undefined {
  const sessionId = string(object(parse(data))?.['session_id']);
  return sessionId === undefined ? undefined : { kind: 'session', sessionId };
}

/** Reads a batch; a single entry outside an array is taken as a batch of one. */
export function readEntries(data: string): StreamEvent {
  const value = parse(data);
  return { kind: 'entries', ...entriesIn(Array.isArray(value) ? value : [value]) };
}

export function readRepeats(data: string): StreamEvent {
  const value = parse(data);
  const repeats = (Array.isArray(value) ? value : [value]).map(repeatIn);
  return { kind: 'repeats', repeats: repeats.filter((repeat) => repeat !== undefined) };
}

export function readGap(data: string): StreamEvent | undefined {
  const wire = object(parse(data));
  const after = number(wire?.['after']);
  if (wire === undefined || after === undefined) return undefined;
  const gap = {
    reason: string(wire['reason']) ?? 'unknown',
    count: number(wire['count']),
    after,
    before: number(wire['before']),
  };
  return { kind: 'gap', gap };
}

export function readPage(value: unknown): Page {
  const wire = object(value);
  return { entries: entriesIn(array(wire?.['entries'])).entries, next: number(wire?.['next']) };
}

function entriesIn(values: readonly unknown[]): { entries: Entry[]; unreadable: number } {
  const entries = values.map(parseEntry).filter((entry) => entry !== undefined);
  return { entries, unreadable: values.length - entries.length };
}

function repeatIn(value: unknown): Repeat | undefined {
  const wire = object(value);
  const of = string(wire?.['of']);
  const count = number(wire?.['count']);
  return of === undefined || count === undefined
    ? undefined
    : { of, count, last: string(wire?.['last']) };
}

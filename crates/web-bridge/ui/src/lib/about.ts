import { clockText, leadOf } from './clocks';
import type { Entry, Origin } from './entry';
import { count, delta, entries, utc, words } from './format';
import { headline, normalized, visible } from './text';
import type { Gap } from './wire';
import { fieldText } from './filter';

// Sentences and lists about entries, so that components only lay them out.

/** What stands behind an entry's time on hover. */
export function timeTitle(entry: Entry): string {
  if (entry.origin !== undefined) {
    return way(entry, entry.origin)
      .map(([name, value]) => visible(name === 'clocks' ? value : `${name} ${value}`))
      .join('\n');
  }
  const lines = [`logged ${utc(entry.timestamp)}`];
  if (entry.receivedAt !== undefined) {
    lines.push(`received ${utc(entry.receivedAt)}${after(entry.timestamp, entry.receivedAt)}`);
  }
  return lines.join('\n');
}

/** What stands behind `×14` on hover. */
export function repeatsTitle(entry: Entry): string {
  const times = `occurred ${count(entry.repeats + 1)} times`;
  return entry.lastRepeat === undefined ? times : `${times}, last at ${utc(entry.lastRepeat)}`;
}

/** A row's text: the first line, and in short what unfolding would add. */
export function summary(entry: Entry): {
  line: string;
  exception: string;
  more: number;
  fields: string;
} {
  const { line, more } = headline(entry.message);
  return { line, more, exception: exceptionLine(entry, line), fields: fieldsLine(entry) };
}

/** `track=7 by=Figrin`: the fields, on one line. */
function fieldsLine({ fields }: Entry): string {
  const pair = ([name, value]: [string, unknown]) =>
    `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`;
  return Object.entries(fields ?? {})
    .map(pair)
    .join(' ');
}

/**
 * `ValueError: bad`, from the exception or the last line of its traceback; only
 * the type if the row's line says the rest already.
 */
function exceptionLine({ exception }: Entry, line: string): string {
  if (exception === undefined) return '';
  const { type, message, traceback } = exception;
  if (type === undefined) return normalized(traceback).trimEnd().split('\n').at(-1) ?? '';
  const why = headline(message ?? '').line;
  return why === '' || line.includes(why) ? type : `${type}: ${why}`;
}

type Fact = [name: string, value: string];

/** Name and value of what the details list about an entry. */
export function facts(entry: Entry, previous: Entry | undefined): Fact[] {
  const { source, origin } = entry;
  const isOurs = origin === undefined;
  return known([
    ['time', isOurs ? utc(entry.timestamp) : undefined],
    ['after previous', sincePrevious(entry, previous)],
    ['received', isOurs ? delta(entry.timestamp, entry.receivedAt) : undefined],
    ['logger', entry.logger || undefined],
    ['source', place(entry)],
    ['thread', source?.thread],
    ['task', source?.task],
    ['process', source?.pid === undefined ? undefined : String(source.pid)],
    ['host', isOurs ? entry.host : undefined],
    ['severity', oddSeverity(entry)],
    ['repeats', entry.repeats > 0 ? repeatsTitle(entry) : undefined],
    ['seq', String(entry.seq)],
  ]);
}

/** Where an entry of another host comes from, and when it was where. */
export function journey(entry: Entry): Fact[] {
  const { origin } = entry;
  if (origin === undefined) return [];
  const { id, sessionId, seq } = origin;
  const number = seq === undefined ? '' : `number ${count(seq)} of `;
  const from = known([
    ['from', entry.host === undefined ? id : `${entry.host}, instance ${id}`],
    ['there', sessionId === '' ? undefined : `${number}${sessionId}`],
  ]);
  return [...from, ...way(entry, origin)];
}

function way(entry: Entry, origin: Origin): Fact[] {
  const host = entry.host ?? origin.id;
  const there = `${host}’s clock`;
  const received = `${utc(origin.receivedAt)}, ${there}${after(entry.timestamp, origin.receivedAt)}`;
  return known([
    ['logged', `${utc(entry.timestamp)}, ${there}`],
    ['received', origin.receivedAt === undefined ? undefined : received],
    ['arrived here', entry.receivedAt === undefined ? undefined : `${utc(entry.receivedAt)}, our clock`],
    ['clocks', clockText(host, leadOf(entry))],
  ]);
}

function known(facts: readonly [name: string, value: string | undefined][]): Fact[] {
  return facts.filter((fact): fact is Fact => fact[1] !== undefined);
}

/** Times of different hosts are not compared: their clocks differ. */
function sincePrevious(entry: Entry, previous: Entry | undefined): string | undefined {
  return previous !== undefined && previous.host === entry.host
    ? delta(previous.timestamp, entry.timestamp)
    : undefined;
}

function after(from: string | undefined, to: string | undefined): string {
  const length = delta(from, to);
  return length === undefined ? '' : ` (${length})`;
}

/** `gpt_service.py:412 in _get_gpt_response` */
function place({ source }: Entry): string | undefined {
  if (source?.file === undefined) return source?.function;
  const line = source.line === undefined ? '' : `:${source.line}`;
  const inside = source.function === undefined ? '' : ` in ${source.function}`;
  return `${source.file}${line}${inside}`;
}

/** Python's number, if it is not the one its level stands for. */
function oddSeverity({ severity }: Entry): string | undefined {
  return severity % 10 === 0 && severity >= 10 && severity <= 50 ? undefined : String(severity);
}

export function fields(entry: Entry): [name: string, value: string][] {
  return Object.entries(entry.fields ?? {}).map(([name, value]) => [name, fieldText(value)]);
}

/** The entry as text, for the clipboard: harmless wherever it is pasted, a terminal included. */
export function asText(entry: Entry): string {
  const { traceback } = entry.exception ?? {};
  const who = entry.origin === undefined ? entry.service : `${entry.service} @${entry.host ?? entry.origin.id}`;
  const head = `[${entry.timestamp ?? '-'}] ${entry.level} ${who} ${entry.message}`;
  return visible(normalized(traceback ? `${head}\n${traceback.trimEnd()}` : head));
}

const REASONS: Readonly<Record<string, string>> = {
  slow_client: 'this page was too slow',
  not_kept: 'no longer in the server’s memory',
  rate_limited: 'rate limited',
  not_kept_here: 'this page keeps only so many while paused',
};

/** `37 entries not sent: this page was too slow` */
export function gapText(gap: Gap): string {
  if (gap.reason === 'earlier') return 'Earlier entries of this session';
  const what = gap.count === undefined ? 'More entries' : entries(gap.count);
  return `${what} not sent: ${REASONS[gap.reason] ?? words(gap.reason)}`;
}

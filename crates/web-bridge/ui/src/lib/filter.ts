import type { Entry } from './entry';
import { LEVELS, levelNamed, RANK, type Level } from './level';
import { withoutAnsi } from './text';

/** What the reader wants to see. A plain value; every change makes a new one. */
export interface Filter {
  /** This level and above. */
  readonly level: Level;
  /** Only these services, if there are any. */
  readonly only: ReadonlySet<string>;
  /** Not these services. */
  readonly not: ReadonlySet<string>;
  /** Text to look for in message, traceback and field values. */
  readonly text: string;
}

export const EVERYTHING: Filter = { level: 'DEBUG', only: new Set(), not: new Set(), text: '' };

export function isEverything(filter: Filter): boolean {
  return (
    filter.level === 'DEBUG' &&
    filter.only.size === 0 &&
    filter.not.size === 0 &&
    filter.text === ''
  );
}

/** This level and above; choosing the level in force shows all again. */
export function atLevel(filter: Filter, level: Level): Filter {
  return { ...filter, level: filter.level === level ? LEVELS[0] : level };
}

/** Only this service; choosing it again shows all. */
export function onlyService(filter: Filter, key: string): Filter {
  const alone = filter.only.size === 1 && filter.only.has(key);
  return { ...filter, only: new Set(alone ? [] : [key]), not: new Set() };
}

/** Not this service; choosing it again takes it back. */
export function notService(filter: Filter, key: string): Filter {
  const not = new Set(filter.not);
  if (!not.delete(key)) not.add(key);
  const only = new Set(filter.only);
  only.delete(key);
  return { ...filter, only, not };
}

/** Whether the service list would let this service through. */
export function admits(filter: Filter, key: string): boolean {
  return !filter.not.has(key) && (filter.only.size === 0 || filter.only.has(key));
}

/**
 * The pattern of a search text, or `undefined` for none. Smart case: upper and
 * lower case differ only if the text has an upper-case letter.
 */
export function searchPattern(text: string): RegExp | undefined {
  if (text === '') return undefined;
  const literal = text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
  return new RegExp(literal, /\p{Lu}/u.test(text) ? 'gu' : 'giu');
}

/** Compiles a filter once, for use on many entries. */
export function matcher(filter: Filter): (entry: Entry) => boolean {
  const rank = RANK[filter.level];
  const pattern = searchPattern(filter.text);
  return (entry) =>
    RANK[entry.level] >= rank &&
    admits(filter, entry.serviceKey) &&
    (pattern === undefined || contains(entry, pattern));
}

/** Where in an entry a search text was found, besides its first line. */
export function foundIn(entry: Entry, pattern: RegExp): 'traceback' | 'fields' | 'message' {
  if (hits(entry.message, pattern)) return 'message';
  return entry.exception !== undefined && inException(entry, pattern) ? 'traceback' : 'fields';
}

function contains(entry: Entry, pattern: RegExp): boolean {
  return hits(entry.message, pattern) || inException(entry, pattern) || inFields(entry, pattern);
}

function inException(entry: Entry, pattern: RegExp): boolean {
  const exception = entry.exception;
  if (exception === undefined) return false;
  return (
    hits(exception.traceback, pattern) ||
    hits(`${exception.type ?? ''}: ${exception.message ?? ''}`, pattern)
  );
}

function inFields(entry: Entry, pattern: RegExp): boolean {
  if (entry.fields === undefined) return false;
  return Object.values(entry.fields).some((value) => hits(fieldText(value), pattern));
}

/** A field's value as the page shows it. */
export function fieldText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

function hits(text: string, pattern: RegExp): boolean {
  return withoutAnsi(text).search(pattern) >= 0; // unlike test(), it leaves no lastIndex behind
}

/** The filter as the page's URL query: `level=…&service=…&service=!…&q=…`. */
export function toQuery(filter: Filter): string {
  const query = new URLSearchParams();
  if (filter.level !== 'DEBUG') query.append('level', filter.level);
  for (const key of filter.only) query.append('service', key);
  for (const key of filter.not) query.append('service', `!${key}`);
  if (filter.text !== '') query.append('q', filter.text);
  return query.toString();
}

/** The filter a URL query asks for; what it does not know it passes over. */
export function fromQuery(search: string): Filter {
  const query = new URLSearchParams(search);
  const services = query.getAll('service').flatMap((value) => value.split(',')).filter(Boolean);
  return {
    level: levelNamed(query.get('level')) ?? 'DEBUG',
    only: new Set(services.filter((key) => !key.startsWith('!'))),
    not: new Set(services.filter((key) => key.startsWith('!')).map((key) => key.slice(1))),
    text: query.get('q') ?? '',
  };
}

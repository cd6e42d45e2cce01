import type { Entry } from './entry';
import { LEVELS, levelNamed, RANK, type Level } from './level';
import { withoutAnsi } from './text';

/** A part of all names: only some if any are listed, and not others. */
export interface Choice {
  readonly only: ReadonlySet<string>;
  readonly not: ReadonlySet<string>;
}

/** What the reader wants to see. A plain value; every change makes a new one. */
export interface Filter {
  /** This level and above. */
  readonly level: Level;
  readonly services: Choice;
  readonly hosts: Choice;
  /** Text to look for in message, traceback and field values. */
  readonly text: string;
}

export const ALL: Choice = { only: new Set(), not: new Set() };
export const EVERYTHING: Filter = { level: 'DEBUG', services: ALL, hosts: ALL, text: '' };

export function isEverything(filter: Filter): boolean {
  const { level, services, hosts, text } = filter;
  return level === 'DEBUG' && isAll(services) && isAll(hosts) && text === '';
}

export function isAll({ only, not }: Choice): boolean {
  return only.size === 0 && not.size === 0;
}

/** This level and above; choosing the level in force shows all again. */
export function atLevel(filter: Filter, level: Level): Filter {
  return { ...filter, level: filter.level === level ? LEVELS[0] : level };
}

/** Only this one; choosing it again shows all. */
export function onlyThis(choice: Choice, name: string): Choice {
  const alone = choice.only.size === 1 && choice.only.has(name);
  return { only: new Set(alone ? [] : [name]), not: new Set() };
}

/** Not this one; choosing it again takes it back. */
export function notThis(choice: Choice, name: string): Choice {
  const not = new Set(choice.not);
  if (!not.delete(name)) not.add(name);
  const only = new Set(choice.only);
  only.delete(name);
  return { only, not };
}

/** Whether the choice lets this one through. */
export function admits({ only, not }: Choice, name: string): boolean {
  return !not.has(name) && (only.size === 0 || only.has(name));
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
    admits(filter.services, entry.serviceKey) &&
    admits(filter.hosts, entry.host ?? '') &&
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

/** The filter as the page's URL query: `level=…&service=…&service=!…&host=…&q=…`. */
export function toQuery(filter: Filter): string {
  const query = new URLSearchParams();
  if (filter.level !== 'DEBUG') query.append('level', filter.level);
  for (const name of written(filter.services)) query.append('service', name);
  for (const name of written(filter.hosts)) query.append('host', name);
  if (filter.text !== '') query.append('q', filter.text);
  return query.toString();
}

/** The filter a URL query asks for; what it does not know it passes over. */
export function fromQuery(search: string): Filter {
  const query = new URLSearchParams(search);
  return {
    level: levelNamed(query.get('level')) ?? 'DEBUG',
    services: choiceIn(query.getAll('service')),
    hosts: choiceIn(query.getAll('host')),
    text: query.get('q') ?? '',
  };
}

function written({ only, not }: Choice): string[] {
  return [...only, ...[...not].map((name) => `!${name}`)];
}

function choiceIn(values: readonly string[]): Choice {
  const names = values.flatMap((value) => value.split(',')).filter(Boolean);
  return {
    only: new Set(names.filter((name) => !name.startsWith('!'))),
    not: new Set(names.filter((name) => name.startsWith('!')).map((name) => name.slice(1))),
  };
}

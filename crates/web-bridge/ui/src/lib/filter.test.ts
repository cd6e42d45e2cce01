import { describe, expect, test } from 'vitest';
import {
  atLevel,
  EVERYTHING,
  foundIn,
  fromQuery,
  isEverything,
  matcher,
  notService,
  onlyService,
  searchPattern,
  toQuery,
  type Filter,
} from './filter';
import { sample } from './sample';

const matches = (filter: Partial<Filter>, wire: Record<string, unknown>) =>
  matcher({ ...EVERYTHING, ...filter })(sample(1, wire));

describe('a level', () => {
  test('lets itself and above through', () => {
    expect(matches({ level: 'WARNING' }, { level: 'WARNING' })).toBe(true);
    expect(matches({ level: 'WARNING' }, { level: 'CRITICAL' })).toBe(true);
    expect(matches({ level: 'WARNING' }, { level: 'INFO' })).toBe(false);
  });

  test('chosen twice shows all again', () => {
    const errors = atLevel(EVERYTHING, 'ERROR');
    expect(errors.level).toBe('ERROR');
    expect(isEverything(atLevel(errors, 'ERROR'))).toBe(true);
  });
});

describe('a service', () => {
  test('can be the only one', () => {
    const only = onlyService(EVERYTHING, 'cli');
    expect(matches(only, { service_key: 'cli' })).toBe(true);
    expect(matches(only, { service_key: 'debug' })).toBe(false);
    expect(isEverything(onlyService(only, 'cli'))).toBe(true);
  });

  test('can be excluded, and others with it', () => {
    const two = notService(notService(EVERYTHING, 'cli'), 'debug');
    expect(matches(two, { service_key: 'cli' })).toBe(false);
    expect(matches(two, { service_key: 'debug' })).toBe(false);
    expect(matches(two, { service_key: 'new_one' })).toBe(true);
    expect(matches(notService(two, 'cli'), { service_key: 'cli' })).toBe(true);
  });

  test('that was the only one and is excluded is not both', () => {
    const filter = notService(onlyService(EVERYTHING, 'cli'), 'cli');
    expect([...filter.only]).toEqual([]);
    expect([...filter.not]).toEqual(['cli']);
  });
});

describe('a text', () => {
  test('without capitals finds either case; with one, exactly that', () => {
    expect(matches({ text: 'plan' }, { message: 'PLAN_READY' })).toBe(true);
    expect(matches({ text: 'Plan' }, { message: 'PLAN_READY' })).toBe(false);
    expect(matches({ text: 'Plan' }, { message: 'Plan done' })).toBe(true);
  });

  test('is taken literally', () => {
    expect(matches({ text: 'a.c(' }, { message: 'abc(' })).toBe(false);
    expect(matches({ text: 'a.c(' }, { message: 'a.c(d' })).toBe(true);
    expect(matches({ text: '\\x/{2}-' }, { message: 'say \\x/{2}-' })).toBe(true);
  });

  test('is looked for in traceback and field values too', () => {
    const entry = { exception: { traceback: 'File "gpt.py"' }, fields: { plan: { id: 'p-77' } } };
    expect(matches({ text: 'gpt.py' }, entry)).toBe(true);
    expect(matches({ text: 'p-77' }, entry)).toBe(true);
    expect(matches({ text: 'plan' }, entry)).toBe(false);
    const pattern = searchPattern('gpt.py') ?? /x/;
    expect(foundIn(sample(1, entry), pattern)).toBe('traceback');
  });

  test('is found through colour sequences', () => {
    expect(matches({ text: 'all red' }, { message: 'all \u001b[31mred\u001b[0m' })).toBe(true);
  });

  test('finds in every entry, not in every second', () => {
    const find = matcher({ ...EVERYTHING, text: 'entry' });
    expect([1, 2, 3, 4].map((seq) => find(sample(seq)))).toEqual([true, true, true, true]);
  });
});

describe('the URL query', () => {
  test('keeps a filter whole', () => {
    const filter: Filter = {
      level: 'ERROR',
      only: new Set(['MusicController', 'cli']),
      not: new Set(['debug']),
      text: 'a&b= ü',
    };
    expect(fromQuery(`?${toQuery(filter)}`)).toEqual(filter);
    expect(toQuery(EVERYTHING)).toBe('');
    expect(fromQuery('')).toEqual(EVERYTHING);
  });

  test('may be written by hand', () => {
    expect(fromQuery('?level=warning&service=cli,!debug&other=1')).toEqual({
      level: 'WARNING',
      only: new Set(['cli']),
      not: new Set(['debug']),
      text: '',
    });
    expect(fromQuery('?level=LOUD').level).toBe('DEBUG');
  });
});

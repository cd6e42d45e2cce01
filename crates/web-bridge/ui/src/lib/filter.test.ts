import { describe, expect, test } from 'vitest';
import {
  ALL,
  atLevel,
  EVERYTHING,
  foundIn,
  fromQuery,
  isAll,
  isEverything,
  matcher,
  notThis,
  onlyThis,
  searchPattern,
  toQuery,
  type Choice,
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
  const lets = (services: Choice, key: string) => matches({ services }, { service_key: key });

  test('can be the only one', () => {
    const only = onlyThis(ALL, 'cli');
    expect(lets(only, 'cli')).toBe(true);
    expect(lets(only, 'debug')).toBe(false);
    expect(isAll(onlyThis(only, 'cli'))).toBe(true);
  });

  test('can be excluded, and others with it', () => {
    const two = notThis(notThis(ALL, 'cli'), 'debug');
    expect(lets(two, 'cli')).toBe(false);
    expect(lets(two, 'debug')).toBe(false);
    expect(lets(two, 'new_one')).toBe(true);
    expect(lets(notThis(two, 'cli'), 'cli')).toBe(true);
  });

  test('that was the only one and is excluded is not both', () => {
    const choice = notThis(onlyThis(ALL, 'cli'), 'cli');
    expect([...choice.only]).toEqual([]);
    expect([...choice.not]).toEqual(['cli']);
  });
});

describe('a host', () => {
  test('is chosen as a service is, and both must fit', () => {
    const hosts = onlyThis(ALL, 'r3x');
    expect(matches({ hosts }, { host: 'r3x' })).toBe(true);
    expect(matches({ hosts }, { host: 'bb8' })).toBe(false);
    expect(matches({ hosts }, {})).toBe(false);
    expect(matches({ hosts, services: onlyThis(ALL, 'cli') }, { host: 'r3x' })).toBe(false);
    expect(matches({ hosts: notThis(ALL, 'r3x') }, { host: 'r3x' })).toBe(false);
    expect(matches({ hosts: notThis(ALL, 'r3x') }, {})).toBe(true);
    expect(isEverything({ ...EVERYTHING, hosts })).toBe(false);
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
      services: { only: new Set(['MusicController', 'cli']), not: new Set(['debug']) },
      hosts: { only: new Set(['r3x']), not: new Set(['bb8', 'c&3']) },
      text: 'a&b= ü',
    };
    expect(fromQuery(`?${toQuery(filter)}`)).toEqual(filter);
    expect(toQuery(EVERYTHING)).toBe('');
    expect(fromQuery('')).toEqual(EVERYTHING);
  });

  test('may be written by hand', () => {
    expect(fromQuery('?level=warning&service=cli,!debug&host=r3x,!bb8&other=1')).toEqual({
      level: 'WARNING',
      services: { only: new Set(['cli']), not: new Set(['debug']) },
      hosts: { only: new Set(['r3x']), not: new Set(['bb8']) },
      text: '',
    });
    expect(fromQuery('?level=LOUD').level).toBe('DEBUG');
  });
});

import { describe, expect, test } from 'vitest';
import { clock, count, delta, duration, entries, micros, utc, zone } from './format';

test('counts have separators', () => {
  expect(count(1201)).toBe('1,201');
  expect(entries(1)).toBe('1 entry');
  expect(entries(1201)).toBe('1,201 entries');
});

describe('a time', () => {
  test('is on the reader’s clock, with milliseconds', () => {
    const local = new Date(2026, 10, 22, 6, 4, 2, 7);
    expect(clock(local.toISOString())).toBe('06:04:02.007');
  });

  test('in full is UTC with every digit that was sent', () => {
    expect(utc('2026-11-22T17:04:22.123456+01:00')).toBe('2026-11-22 16:04:22.123456 UTC');
    expect(utc('2026-11-22T16:04:22Z')).toBe('2026-11-22 16:04:22.000 UTC');
  });

  test('that is none is not invented', () => {
    expect(clock(undefined)).toBe('--:--:--.---');
    expect(clock('yesterday')).toBe('--:--:--.---');
    expect(utc(undefined)).toBe('unknown');
    expect(micros('yesterday')).toBeUndefined();
  });
});

describe('a difference', () => {
  const from = '2026-11-22T16:04:22.123456Z';

  test('is exact below a millisecond', () => {
    expect(delta(from, '2026-11-22T16:04:22.123601Z')).toBe('+0.1 ms');
    expect(delta(from, '2026-11-22T16:04:22.173456Z')).toBe('+50 ms');
  });

  test('grows into seconds and minutes', () => {
    expect(delta(from, '2026-11-22T16:04:23.327456Z')).toBe('+1.204 s');
    expect(delta(from, '2026-11-22T16:07:27.999999Z')).toBe('+3 min 05 s');
  });

  test('says when time went backwards', () => {
    expect(delta(from, '2026-11-22T16:04:22.113456Z')).toBe('−10 ms');
    expect(delta(undefined, from)).toBeUndefined();
  });
});

test('durations use two units at most', () => {
  expect([12.9, 185, 7650].map(duration)).toEqual(['12 s', '3 min 05 s', '2 h 07 min']);
});

test('a zone is an offset', () => {
  const at = (minutes: number) => zone({ getTimezoneOffset: () => minutes } as Date);
  expect([at(0), at(-60), at(-330), at(210)]).toEqual(['UTC', 'UTC+1', 'UTC+5:30', 'UTC−3:30']);
});

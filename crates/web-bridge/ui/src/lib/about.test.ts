import { describe, expect, test } from 'vitest';
import { asText, facts, journey, summary, timeTitle } from './about';
import { sample } from './sample';

describe('the exception beside a message', () => {
  const shown = (message: string, exception: object) => summary(sample(1, { message, exception })).exception;

  test('is its type and what it says', () => {
    expect(shown('it failed', { type: 'ValueError', message: 'bad\nworse' })).toBe('ValueError: bad');
    expect(shown('it failed', { traceback: 'Traceback:\n  x\nKeyError: 1\n' })).toBe('KeyError: 1');
  });

  test('is its type alone if the message says the rest', () => {
    expect(shown('it failed: bad', { type: 'ValueError', message: 'bad' })).toBe('ValueError');
    expect(shown('it failed', { type: 'ValueError', message: '' })).toBe('ValueError');
    expect(shown('first\nbad', { type: 'ValueError', message: 'bad' })).toBe('ValueError: bad');
  });
});

describe('a copied entry', () => {
  test('does nothing to a terminal it is pasted into', () => {
    const message = '\u001b[201~rm -rf\r\n\u202e\u0007 tab\there';
    const exception = { traceback: 'Traceback\u001b\n' };
    const text = asText(sample(1, { message, service: 'S', exception }));
    expect(text).toContain('INFO S rm -rf\n\\u202e\\x07 tab\there\nTraceback\\x1b');
    expect(text).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u202e]/u);
  });
});

describe('an entry of another host', () => {
  const theirs = sample(12, {
    host: 'r3x',
    timestamp: '2026-11-22T16:04:22.100000Z',
    received_at: '2026-11-22T16:04:19.9Z',
    origin: {
      id: 'r3x-5f3a9c12',
      session_id: 'cantina-session-20261101-120000',
      seq: 8812,
      received_at: '2026-11-22T16:04:22.101500Z',
    },
  });

  test('says where it comes from, and whose clock says what', () => {
    expect(journey(theirs)).toEqual([
      ['from', 'r3x, instance r3x-5f3a9c12'],
      ['there', 'number 8,812 of cantina-session-20261101-120000'],
      ['logged', '2026-11-22 16:04:22.100000 UTC, r3x’s clock'],
      ['received', '2026-11-22 16:04:22.101500 UTC, r3x’s clock (+1.5 ms)'],
      ['arrived here', '2026-11-22 16:04:19.9 UTC, our clock'],
      ['clocks', 'r3x’s clock is about 2.2 s ahead of ours'],
    ]);
    expect(timeTitle(theirs).split('\n').at(-1)).toBe('r3x’s clock is about 2.2 s ahead of ours');
  });

  test('is copied with its host', () => {
    expect(asText(theirs)).toBe('[2026-11-22T16:04:22.100000Z] INFO AI Assistant @r3x entry 12');
  });

  test('is not compared with what another clock says', () => {
    const names = (host: string) =>
      facts(theirs, sample(11, { host })).map(([name]) => name);
    expect(names('bb8')).toEqual(['seq']);
    expect(names('r3x')).toEqual(['after previous', 'seq']);
  });

  test('is told from ours', () => {
    const ours = sample(1, { host: 'hub' });
    expect(journey(ours)).toEqual([]);
    expect(facts(ours, undefined).map(([name]) => name)).toEqual(['time', 'host', 'seq']);
    expect(timeTitle(ours)).toBe('logged 2026-11-22 16:04:22.123456 UTC');
  });
});

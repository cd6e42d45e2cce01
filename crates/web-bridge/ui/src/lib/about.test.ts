import { describe, expect, test } from 'vitest';
import { asText, summary } from './about';
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

import { describe, expect, test } from 'vitest';
import { searchPattern } from './filter';
import { headline, normalized, pieces, visible, withoutAnsi } from './text';

const RLO = '\u202e';

describe('highlighting', () => {
  const cut = (text: string, search: string) =>
    pieces(text, searchPattern(search)).map(({ kind, text: part }) => [kind, part]);

  test('marks every hit and keeps the text between', () => {
    expect(cut('plan a, Plan b', 'plan')).toEqual([
      ['hit', 'plan'],
      ['plain', ' a, '],
      ['hit', 'Plan'],
      ['plain', ' b'],
    ]);
  });

  test('of nothing leaves the text in one piece', () => {
    expect(cut('plan', '')).toEqual([['plain', 'plan']]);
    expect(cut('plan', 'x')).toEqual([['plain', 'plan']]);
    expect(cut('', 'x')).toEqual([['plain', '']]);
  });

  test('marks again with the same pattern', () => {
    const pattern = searchPattern('a');
    expect(pieces('ab', pattern)).toEqual(pieces('ab', pattern));
    expect(pieces('ba', pattern)[1]).toEqual({ kind: 'hit', text: 'a' });
  });

  test('never hides a control character inside a hit', () => {
    expect(cut(`x${RLO}y`, `x${RLO}y`)).toEqual([['hit', 'x\\u202ey']]);
  });

  test('loses no text, whatever is in it', () => {
    const text = `a\u0000b${RLO}plan\u2028\ud800 end\t\n`;
    const whole = pieces(text, searchPattern('plan')).map((piece) => piece.text).join('');
    expect(whole).toBe('a\\x00b\\u202eplan\\u2028\\ud800 end\t\n');
  });
});

describe('unsafe characters', () => {
  test('are written out, each as a piece of its own', () => {
    expect(pieces(`a${RLO}b\u0007`)).toEqual([
      { kind: 'plain', text: 'a' },
      { kind: 'escape', text: '\\u202e' },
      { kind: 'plain', text: 'b' },
      { kind: 'escape', text: '\\x07' },
    ]);
  });

  test('include tags, invisible marks and line separators, not tab and newline', () => {
    expect(visible('\u{e0041}\u200b\u2029\ufeff\u0085')).toBe('\\u{e0041}\\u200b\\u2029\\ufeff\\x85');
    expect(visible('a\tb\nc → ü 🤖')).toBe('a\tb\nc → ü 🤖');
  });

  test('in great number stay visible without a piece for each', () => {
    const flood = pieces('a\u0007'.repeat(1000));
    expect(flood).toHaveLength(1);
    expect(flood[0]?.text).toBe('a\\x07'.repeat(1000));
  });
});

describe('hits', () => {
  test('in great number are marked as far as anyone reads', () => {
    const flood = pieces('ab'.repeat(100_000), /a/gu);
    expect(flood.length).toBeLessThan(5000);
    expect(flood.map((piece) => piece.text).join('')).toBe('ab'.repeat(100_000));
  });
});

describe('terminal sequences', () => {
  test('are taken out', () => {
    expect(withoutAnsi('\u001b[1;31mred\u001b[0m')).toBe('red');
    expect(withoutAnsi('\u001b]0;title\u0007text')).toBe('text');
    expect(withoutAnsi('\u001b]8;;http://x\u001b\\link\u001b]8;;\u001b\\')).toBe('link');
  });

  test('that are cut short stay visible', () => {
    expect(visible(withoutAnsi('x\u001b[31'))).toBe('x\\x1b[31');
  });
});

describe('a headline', () => {
  test('is the first line, with the number of the others', () => {
    expect(headline('one\ntwo\nthree\n')).toEqual({ line: 'one', more: 2 });
    expect(headline('\r\n  1. indented\r\n')).toEqual({ line: '  1. indented', more: 0 });
    expect(headline('')).toEqual({ line: '', more: 0 });
  });

  test('comes from text whose lines end in one way', () => {
    expect(normalized('a\r\nb')).toBe('a\nb');
  });
});

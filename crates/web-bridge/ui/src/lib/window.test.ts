import { describe, expect, test } from 'vitest';
import { indexAt, offsetOf, scrollTo, windowOf, type Heights } from './window';

const FOLDED: Heights = { count: 1000, row: 24, unfolded: [] };
const MIXED: Heights = {
  count: 1000,
  row: 24,
  unfolded: [
    { index: 2, extra: 100 },
    { index: 10, extra: 300 },
  ],
};

describe('offsets', () => {
  test('count rows, and what is unfolded above', () => {
    expect(offsetOf(FOLDED, 10)).toBe(240);
    expect(offsetOf(MIXED, 2)).toBe(48);
    expect(offsetOf(MIXED, 3)).toBe(172);
    expect(offsetOf(MIXED, 1000)).toBe(24_400);
  });

  test('and indices are each other’s inverse, at every pixel', () => {
    let index = 0;
    for (let y = 0; y < offsetOf(MIXED, 20); y += 1) {
      if (y >= offsetOf(MIXED, index + 1)) index += 1;
      expect(indexAt(MIXED, y)).toBe(index);
    }
    expect(index).toBe(19);
  });

  test('beyond the list give its ends', () => {
    expect(indexAt(FOLDED, -50)).toBe(0);
    expect(indexAt(FOLDED, 1e9)).toBe(999);
  });
});

describe('a window', () => {
  test('covers the port and some rows around it', () => {
    expect(windowOf(FOLDED, 2400, 240, 5)).toEqual({ start: 95, end: 116, offset: 2280, total: 24_000 });
  });

  test('ends at the ends', () => {
    expect(windowOf(FOLDED, 0, 240, 5).start).toBe(0);
    expect(windowOf(FOLDED, 24_000 - 240, 240, 5).end).toBe(1000);
  });

  test('of an empty list is empty', () => {
    const empty = { count: 0, row: 24, unfolded: [] };
    expect(windowOf(empty, 0, 240, 5)).toEqual({ start: 0, end: 0, offset: 0, total: 0 });
  });

  test('renders few rows however long the list', () => {
    const long = { count: 40_000, row: 24, unfolded: [] };
    const { start, end } = windowOf(long, 480_000, 800, 8);
    expect(end - start).toBeLessThan(52);
  });

  test('inside a tall unfolded row has that row', () => {
    expect(windowOf(MIXED, 400, 100, 0)).toMatchObject({ start: 10, end: 11 });
  });
});

describe('scrolling to a row', () => {
  test('moves nothing if it is visible', () => {
    expect(scrollTo(FOLDED, 12, 240, 240)).toBe(240);
  });

  test('moves as little as needed', () => {
    expect(scrollTo(FOLDED, 5, 240, 240)).toBe(120);
    expect(scrollTo(FOLDED, 30, 240, 240)).toBe(504);
  });

  test('shows the first line of a row taller than the port', () => {
    expect(scrollTo(MIXED, 10, 0, 200)).toBe(offsetOf(MIXED, 10));
  });
});

import { expect, test } from 'vitest';
import { ALL } from './filter';
import { withChosen } from './tally';

const seen = [
  { key: 'bar', name: 'bar', count: 7 },
  { key: 'r3x', name: 'r3x', count: 12 },
];

test('names that were not chosen are as they were seen', () => {
  expect(withChosen(seen, ALL)).toEqual(seen);
});

test('a name that was chosen is listed, whether or not it was seen', () => {
  const choice = { only: new Set(['quiet', 'r3x']), not: new Set(['away']) };
  const absent = ['away', 'quiet'].map((key) => ({ key, name: key, count: 0 }));
  expect(withChosen(seen, choice)).toEqual([...seen, ...absent]);
});

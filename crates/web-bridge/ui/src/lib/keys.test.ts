import { expect, test } from 'vitest';
import { actionFor, type Focus } from './keys';

const stroke = (key: string, focus: Focus = 'elsewhere', held: object = {}) =>
  actionFor({ key, ctrlKey: false, altKey: false, metaKey: false, ...held }, focus);

test('keys act from anywhere in the page', () => {
  expect(['j', 'k', 'Enter', '/', 'End', '?', 'Escape'].map((key) => stroke(key))).toEqual([
    'next',
    'previous',
    'unfold',
    'search',
    'live',
    'help',
    'back',
  ]);
  expect(stroke('x')).toBeUndefined();
});

test('typing a search is typing, save Escape', () => {
  expect(stroke('j', 'text')).toBeUndefined();
  expect(stroke('/', 'text')).toBeUndefined();
  expect(stroke('End', 'text')).toBeUndefined();
  expect(stroke('Escape', 'text')).toBe('back');
});

test('Enter belongs to a button that has the focus', () => {
  expect(stroke('Enter', 'control')).toBeUndefined();
  expect(stroke('j', 'control')).toBe('next');
});

test('the browser’s own shortcuts stay its own', () => {
  expect(stroke('k', 'elsewhere', { ctrlKey: true })).toBeUndefined();
  expect(stroke('ArrowDown', 'elsewhere', { altKey: true })).toBeUndefined();
});

import { describe, expect, test } from 'vitest';
import { accountedFor, readLedger, type Ledger } from './ledger';

const STATS = {
  received: 1201,
  stored: 1100,
  merged: 60,
  filtered: 38,
  filtered_by: { below_level: 38 },
  dropped: { queue_full: 3 },
  in_flight: 0,
  views: { folded: 60, rate_limited: 0, missed: 0 },
  clients: 2,
  bus: { state: 'connected', backlog: 0 },
};

const read = (stats: Record<string, unknown>) => readLedger(stats) as Ledger;

describe('the ledger', () => {
  test('adds up by reason', () => {
    const ledger = read(STATS);
    expect(ledger.accounted).toBe(1201);
    expect(ledger.dropped).toBe(3);
    expect(ledger.postings.map(({ label, count }) => `${label} ${count}`)).toEqual([
      'stored 1100',
      'merged as repeats 60',
      'filtered: below level 38',
      'dropped: queue full 3',
      'on the way 0',
    ]);
    expect(accountedFor(ledger)).toBe('100 %');
  });

  test('never rounds up to 100 %', () => {
    const ledger = read({ received: 1_000_000, stored: 999_999 });
    expect(accountedFor(ledger)).toBe('99.9 %');
    expect(accountedFor(read({ received: 1, stored: 2 }))).toBe('more than 100 %');
    expect(accountedFor(read({ received: 0 }))).toBe('100 %');
  });

  test('counts filtered entries once, with or without reasons', () => {
    expect(read({ received: 5, filtered: 5 }).accounted).toBe(5);
    expect(read({ received: 5, filtered: 5, filtered_by: { x: 2 } }).accounted).toBe(5);
  });

  test('is absent if there is no figure', () => {
    expect(readLedger(undefined)).toBeUndefined();
    expect(readLedger({ stored: 3 })).toBeUndefined();
  });
});

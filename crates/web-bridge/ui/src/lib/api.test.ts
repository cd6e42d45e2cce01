import { describe, expect, test } from 'vitest';
import { gapUrl, restOf } from './api';
import { samples } from './sample';

const GAP = { reason: 'slow_client', count: 3000, after: 10, before: 3011 };
const ROW = { kind: 'gap', key: 0, epoch: 1, sessionId: 'one', gap: GAP } as const;

describe('loading a gap', () => {
  test('asks for what lies between', () => {
    expect(gapUrl(ROW)).toBe('api/logs?limit=1000&session=one&after=10&before=3011');
  });

  test('at the start of the session asks for the newest before', () => {
    const gap = { reason: 'earlier', count: undefined, after: -1, before: 500 };
    expect(gapUrl({ ...ROW, gap })).toBe('api/logs?limit=1000&session=one&before=500');
  });

  test('goes on after the last entry of the page', () => {
    const page = { entries: samples(11, 20), next: 20 };
    expect(restOf(GAP, page)).toEqual({ ...GAP, count: undefined, after: 20 });
  });

  test('is over when there is no next page, or nothing between', () => {
    expect(restOf(GAP, { entries: samples(11, 20), next: undefined })).toBeUndefined();
    expect(restOf(GAP, { entries: [], next: 20 })).toBeUndefined();
    expect(restOf({ ...GAP, before: 21 }, { entries: samples(11, 20), next: 20 })).toBeUndefined();
  });

  test('towards the start goes on before the first entry', () => {
    const gap = { reason: 'earlier', count: undefined, after: -1, before: 500 };
    expect(restOf(gap, { entries: samples(400, 499), next: 400 })).toMatchObject({ before: 400 });
  });
});

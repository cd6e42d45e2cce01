import { describe, expect, test } from 'vitest';
import { EVERYTHING } from './filter';
import { Journal } from './journal';
import type { GapRow, Row } from './rows';
import { sample, samples } from './sample';

const BOUNDS = { kept: 10, reading: 20, aside: 5 };

function journal() {
  const made = new Journal(BOUNDS);
  made.startSession('one');
  return made;
}

const text = (rows: readonly Row[]) =>
  rows.map((row) => {
    if (row.kind === 'entry') return row.entry.seq;
    return row.kind === 'gap' ? row.gap.reason : `session ${row.sessionId}`;
  });

describe('the journal', () => {
  test('keeps entries in the order of the session, each once', () => {
    const all = journal();
    all.append(samples(1, 3));
    all.append([sample(3), sample(5), sample(4), sample(1)]);
    expect(text(all.rows)).toEqual([1, 2, 3, 4, 5]);
    expect(all.total).toBe(5);
  });

  test('lets the oldest go, counts them, and offers to load them', () => {
    const all = journal();
    all.append(samples(1, 25));
    expect(text(all.rows)).toEqual(['earlier', ...Array.from({ length: 10 }, (_, at) => at + 16)]);
    expect(all.dropped).toBe(15);
    expect(all.total).toBe(10);
    expect(all.matching).toBe(10);
    expect(text(all.shown)).toEqual(text(all.rows));
  });

  test('offers what was before the first entry it got', () => {
    const all = journal();
    all.append(samples(201, 202));
    expect(text(all.shown)).toEqual(['earlier', 201, 202]);
  });

  test('counts levels and services of what it holds', () => {
    const all = journal();
    all.append(samples(1, 8, { level: 'ERROR', service: 'CLI', service_key: 'cli' }));
    all.append(samples(9, 14));
    expect(all.tally.levels()).toMatchObject({ ERROR: 4, INFO: 6 });
    expect(all.tally.services()).toEqual([
      { key: 'gpt_service', name: 'AI Assistant', count: 6 },
      { key: 'cli', name: 'CLI', count: 4 },
    ]);
  });

  test('counts hosts, and knows their clocks', () => {
    const all = journal();
    const received_at = '2026-11-22T16:04:20Z';
    const origin = { id: 'r3x-1', session_id: 'x', seq: 9, received_at: '2026-11-22T16:04:23Z' };
    all.append(samples(1, 6, { host: 'r3x', received_at, origin }));
    all.append(samples(7, 12, { host: 'hub', received_at }));
    expect(all.tally.hosts()).toEqual([
      { key: 'hub', name: 'hub', count: 6, lead: undefined },
      { key: 'r3x', name: 'r3x', count: 4, lead: 3_000_000 },
    ]);
  });

  test('takes entries of other hosts by our numbers, and passes over counts of what it has not', () => {
    const all = journal();
    const origin = { id: 'r3x-1', session_id: 'x', seq: 1_000_000 };
    all.append([sample(1), sample(2, { origin }), sample(3)]);
    all.fold([
      { of: 'id-2', count: 4, last: undefined },
      { of: 'not-here', count: 9, last: undefined },
    ]);
    expect(text(all.rows)).toEqual([1, 2, 3]);
    expect(all.rows.map((row) => row.kind === 'entry' && row.entry.repeats)).toEqual([0, 4, 0]);
  });

  test('marks a new session, whose numbers begin again', () => {
    const all = journal();
    all.append(samples(1, 3));
    all.startSession('one');
    all.startSession('two');
    all.append(samples(1, 2, { session_id: 'two' }));
    expect(text(all.rows)).toEqual([1, 2, 3, 'session two', 1, 2]);
  });

  test('says of a new session too what came before its first entry here', () => {
    const all = new Journal();
    all.startSession('one');
    all.append(samples(1, 2));
    all.startSession('two');
    all.append(samples(8, 9, { session_id: 'two' }));
    all.append(samples(10, 11, { session_id: 'two' }));
    expect(text(all.rows)).toEqual([1, 2, 'session two', 'earlier', 8, 9, 10, 11]);
  });

  test('says how often an entry occurred by a new row', () => {
    const all = journal();
    all.append(samples(1, 2));
    const before = all.shown[0];
    all.fold([{ of: 'id-1', count: 13, last: 'then' }, { of: 'gone', count: 1, last: undefined }]);
    expect(all.shown[0]).toMatchObject({ entry: { repeats: 13, lastRepeat: 'then' } });
    expect(all.shown[0]).not.toBe(before);
  });
});

describe('a filter', () => {
  test('applies to what is there already and to what comes', () => {
    const all = journal();
    all.append([sample(1), sample(2, { level: 'ERROR' }), sample(3)]);
    all.select({ ...EVERYTHING, level: 'ERROR' });
    all.append([sample(4), sample(5, { level: 'ERROR' })]);
    expect(text(all.shown)).toEqual([2, 5]);
    expect([all.matching, all.total]).toEqual([2, 5]);
    all.select(EVERYTHING);
    expect(text(all.shown)).toEqual([1, 2, 3, 4, 5]);
  });

  test('keeps its count right while the oldest go', () => {
    const all = journal();
    all.select({ ...EVERYTHING, text: '1' });
    all.append(samples(1, 30));
    const expected = all.rows.filter((row) => row.kind === 'entry' && `${row.entry.seq}`.includes('1'));
    expect(all.matching).toBe(expected.length);
    expect(all.arrived).toBe(12); // 1, 10…19, 21
  });

  test('never hides a gap or a new session', () => {
    const all = journal();
    all.append(samples(1, 2));
    all.gap({ reason: 'slow_client', count: 3, after: 2, before: 6 });
    all.startSession('two');
    all.select({ ...EVERYTHING, text: 'nowhere' });
    expect(text(all.shown)).toEqual(['slow_client', 'session two']);
  });
});

describe('while someone reads', () => {
  test('nothing that is there goes', () => {
    const all = journal();
    all.append(samples(1, 10));
    all.reading(true);
    all.append(samples(11, 60));
    expect(text(all.rows).slice(0, 3)).toEqual([1, 2, 3]);
    expect(all.rows).toHaveLength(BOUNDS.reading);
    expect(all.arrived).toBe(60);
  });

  test('what did not fit waits aside, and a gap says what could not', () => {
    const all = journal();
    all.append(samples(1, 10));
    all.reading(true);
    all.append(samples(11, 29));
    all.reading(false);
    expect(text(all.rows).slice(-3)).toEqual([27, 28, 29]);

    all.reading(true);
    all.append(samples(30, 100));
    all.reading(false);
    expect(text(all.rows).at(-1)).toBe(100);
    const gap = all.rows.find((row) => row.kind === 'gap' && row.gap.reason === 'not_kept_here');
    expect(gap).toMatchObject({ gap: { after: 38 } });
    expect(all.rows.length).toBeLessThanOrEqual(BOUNDS.kept + 1);
    expect(all.dropped + all.total).toBe(100);
  });
});

describe('a gap', () => {
  const withGap = () => {
    const all = new Journal();
    all.startSession('one');
    all.append(samples(1, 2));
    all.append(samples(6, 7));
    all.gap({ reason: 'slow_client', count: 3, after: 2, before: 6 });
    return { all, gap: all.shown.find((row): row is GapRow => row.kind === 'gap') as GapRow };
  };

  test('is at its place though it is told later', () => {
    expect(text(withGap().all.rows)).toEqual([1, 2, 'slow_client', 6, 7]);
  });

  test('is filled by what was loaded', () => {
    const { all, gap } = withGap();
    expect(all.fill(gap, samples(2, 5), undefined)).toBe(2);
    expect(text(all.rows)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  test('shrinks to what is still missing', () => {
    const { all, gap } = withGap();
    all.fill(gap, samples(3, 4), { ...gap.gap, count: undefined, after: 4 });
    expect(text(all.rows)).toEqual([1, 2, 3, 4, 'slow_client', 6, 7]);
  });
});

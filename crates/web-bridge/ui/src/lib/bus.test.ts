import { describe, expect, test } from 'vitest';
import { busLine, readBus, type Bus } from './bus';

const NOW = new Date(2026, 10, 22, 16, 5, 0);
const SINCE = new Date(2026, 10, 22, 16, 4, 22).toISOString();
const SHARED = { state: 'connected', backlog: 0, origin: 'hub-1', published: 4000, reconnects: 2 };

const read = (wire: Record<string, unknown>) => readBus(wire) as Bus;
const line = (wire: Record<string, unknown>) => busLine(read(wire), NOW);

describe('the line about the bus', () => {
  test('is absent while the bus is ours alone', () => {
    expect(line({ state: 'connected', backlog: 0 })).toBeUndefined();
    expect(readBus({ backlog: 3 })).toBeUndefined();
  });

  test('is one word while all is well', () => {
    expect(line(SHARED)).toMatchObject({ state: 'well', text: 'Bus' });
    expect(line({ ...SHARED, backlog: 7 })).toMatchObject({ text: 'Bus' });
    expect(line({ ...SHARED, backlog: 1204 })).toMatchObject({
      state: 'well',
      text: 'Bus · 1,204 entries waiting',
    });
  });

  test('says since when it is away, and what waits', () => {
    const away = { ...SHARED, state: 'disconnected', backlog: 1204, since: SINCE, attempts: 3 };
    expect(line({ ...away, trouble: 'connection refused' })).toEqual({
      state: 'away',
      text: 'Bus away since 16:04:22 · 1,204 entries waiting',
      title:
        'connection refused\ntried 3 times\nwhat is logged is kept, and published when it is back',
    });
    const yesterday = new Date(2026, 10, 21, 9, 30, 0).toISOString();
    expect(line({ ...away, since: yesterday, backlog: 0 })?.text).toBe(
      'Bus away since Nov 21, 09:30:00',
    );
    expect(line({ state: 'disconnected', backlog: 1 })?.text).toBe('Bus away · 1 entry waiting');
  });

  test('says what is wrong, also if it is there', () => {
    const trouble = 'the stream CANTINA_LOG does not take logging.entry';
    expect(line({ ...SHARED, trouble })).toMatchObject({ state: 'troubled', text: `Bus: ${trouble}` });
    expect(line({ state: 'closed' })).toMatchObject({ state: 'away', text: 'Bus closed' });
  });
});

describe('the figures of the bus', () => {
  const shown = (figures: Bus['figures']) => figures.map(({ label, count }) => `${label} ${count}`);

  test('are those that say something', () => {
    const { figures } = read({ ...SHARED, missed: 0, refused: 7, dropped: { bus_backlog: 12 } });
    expect(shown(figures)).toEqual([
      'events published 4000',
      'never published: bus backlog 12',
      'events refused 7',
      'reconnects 2',
    ]);
    expect(figures.filter(({ loss }) => loss).map(({ count }) => count)).toEqual([12]);
  });

  test('tell what came from which host, the loudest by name', () => {
    const by_host = Object.fromEntries(Array.from({ length: 15 }, (_, at) => [`h${at}`, at]));
    const collected = { entries: 105, by_host, echoes: 4, doubles: 0, malformed: 1, missing: 0 };
    const all = read({ ...SHARED, collected }).collected;
    expect(all?.entries).toBe(105);
    expect(shown(all?.hosts ?? []).slice(-3)).toEqual(['h13 13', 'h14 14', '3 more 3']);
    expect(all?.hosts.reduce((sum, { count }) => sum + count, 0)).toBe(105);
    expect(shown(all?.notes ?? [])).toEqual(['malformed 1', 'echoes 4']);
  });
});

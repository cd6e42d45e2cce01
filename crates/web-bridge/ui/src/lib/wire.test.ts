import { describe, expect, test } from 'vitest';
import golden from '../../../../logging-api/fixtures/entry.json';
import goldenRepeat from '../../../../logging-api/fixtures/repeat_update.json';
import { parseEntry } from './entry';
import { readEntries, readGap, readPage, readRepeats, readSession } from './wire';

const FULL = {
  seq: 12345,
  entry_id: '01JD',
  timestamp: '2026-11-22T16:04:22.123456Z',
  received_at: '2026-11-22T16:04:22.123601Z',
  level: 'INFO',
  severity: 20,
  service: 'AI Assistant',
  service_key: 'gpt_service',
  logger: 'cantina_os.gpt_service',
  message: 'Received API response with status: 200',
  session_id: 'cantina-session-20261122-160357',
  host: 'r3x',
  source: { file: 'gpt_service.py', line: 412, function: '_get', thread: 'Main', task: null, pid: 811 },
  exception: { type: 'ValueError', message: 'bad', traceback: 'Traceback …' },
  fields: { plan_id: 'p1' },
  repeats: 3,
};

describe('the messages that all languages test against', () => {
  test('an entry', () => {
    expect(parseEntry(golden)).toMatchObject({
      seq: golden.seq,
      id: golden.entry_id,
      level: 'WARNING',
      severity: 35,
      service: golden.service,
      message: golden.message,
      exception: { type: 'cantina.ApiError', traceback: golden.exception.traceback },
      fields: { plan_id: 'p-1' },
    });
  });

  test('a count of repeats', () => {
    expect(readRepeats(JSON.stringify([goldenRepeat]))).toMatchObject({
      repeats: [{ of: golden.entry_id, count: 14 }],
    });
  });
});

describe('an entry', () => {
  test('of another host says where it comes from', () => {
    const origin = { id: 'r3x-1', session_id: 'there', seq: 7, received_at: '2026-11-22T16:04:22Z' };
    expect(parseEntry({ ...FULL, origin })?.origin).toEqual({
      id: 'r3x-1',
      sessionId: 'there',
      seq: 7,
      receivedAt: '2026-11-22T16:04:22Z',
    });
    expect(parseEntry({ ...FULL, origin: { seq: 7 } })?.origin).toBeUndefined();
  });

  test('is read whole', () => {
    expect(parseEntry(FULL)).toMatchObject({
      seq: 12345,
      id: '01JD',
      receivedAt: '2026-11-22T16:04:22.123601Z',
      serviceKey: 'gpt_service',
      source: { line: 412, task: undefined, pid: 811 },
      origin: undefined,
      exception: { type: 'ValueError', traceback: 'Traceback …' },
      fields: { plan_id: 'p1' },
      repeats: 3,
    });
  });

  test('needs nothing but its sequence number', () => {
    expect(parseEntry({ seq: 7 })).toMatchObject({
      seq: 7,
      id: '/7',
      level: 'INFO',
      severity: 20,
      service: 'System',
      serviceKey: 'System',
      message: '',
      exception: undefined,
      fields: undefined,
      repeats: 0,
    });
    expect(parseEntry({ message: 'from nowhere' })).toBeUndefined();
    expect(parseEntry(null)).toBeUndefined();
  });

  test('takes the level below or equal from an odd severity', () => {
    expect(parseEntry({ seq: 1, severity: 35 })?.level).toBe('WARNING');
    expect(parseEntry({ seq: 1, severity: 5 })?.level).toBe('DEBUG');
    expect(parseEntry({ seq: 1, severity: 99 })?.level).toBe('CRITICAL');
    expect(parseEntry({ seq: 1, level: 'warning', severity: 35 })).toMatchObject({
      level: 'WARNING',
      severity: 35,
    });
  });

  test('passes over members of the wrong type', () => {
    const odd = { seq: 1, message: 5, source: 'x', fields: [], repeats: '3', exception: 7 };
    expect(parseEntry(odd)).toMatchObject({
      message: '',
      source: undefined,
      fields: undefined,
      repeats: 0,
      exception: undefined,
    });
  });
});

describe('an event', () => {
  test('carries a batch, and says how many of it are unreadable', () => {
    const event = readEntries(JSON.stringify([FULL, { message: 'no seq' }]));
    expect(event).toMatchObject({ kind: 'entries', unreadable: 1, entries: [{ seq: 12345 }] });
  });

  test('that is no JSON is one unreadable entry, not an error', () => {
    expect(readEntries('{"seq":')).toEqual({ kind: 'entries', entries: [], unreadable: 1 });
    expect(readSession('nonsense')).toBeUndefined();
    expect(readGap('[]')).toBeUndefined();
  });

  test('of repeats gives absolute counts', () => {
    const data = '[{"of":"01JD","seq":20,"count":14,"last":"2026-11-22T16:04:23Z"},{"of":"x"}]';
    expect(readRepeats(data)).toEqual({
      kind: 'repeats',
      repeats: [{ of: '01JD', count: 14, last: '2026-11-22T16:04:23Z' }],
    });
  });

  test('of a gap says where it is', () => {
    expect(readGap('{"reason":"slow_client","count":37,"after":5,"before":43}')).toEqual({
      kind: 'gap',
      gap: { reason: 'slow_client', count: 37, after: 5, before: 43 },
    });
  });
});

test('a page ends where next is null', () => {
  expect(readPage({ entries: [FULL], next: 9 })).toMatchObject({ entries: [{ seq: 12345 }], next: 9 });
  expect(readPage({ entries: [], next: null })).toEqual({ entries: [], next: undefined });
});

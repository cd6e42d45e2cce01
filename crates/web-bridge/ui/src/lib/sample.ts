import { parseEntry, type Entry } from './entry';

/** An entry for tests: as it would come, with what the test cares about. */
export function sample(seq: number, wire: Record<string, unknown> = {}): Entry {
  const entry = parseEntry({
    seq,
    entry_id: `id-${seq}`,
    timestamp: '2026-11-22T16:04:22.123456Z',
    level: 'INFO',
    service: 'AI Assistant',
    service_key: 'gpt_service',
    session_id: 'one',
    message: `entry ${seq}`,
    ...wire,
  });
  if (entry === undefined) throw new Error('not an entry');
  return entry;
}

/** Entries numbered `from` up to and including `to`. */
export function samples(from: number, to: number, wire: Record<string, unknown> = {}): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, at) => sample(from + at, wire));
}

import { object, string } from './json';
import { readLedger, type Ledger } from './ledger';
import type { GapRow } from './rows';
import { readPage, type Gap, type Page } from './wire';

const PAGE = 1000;

export async function fetchLedger(signal: AbortSignal): Promise<Ledger | undefined> {
  return readLedger(await get('api/stats', signal));
}

/** Loads a page of what a gap left out: the nearest to what is already there. */
export async function fetchGap(row: GapRow): Promise<Page> {
  return readPage(await get(gapUrl(row), AbortSignal.timeout(10_000)));
}

export function gapUrl({ gap, sessionId }: GapRow): string {
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (sessionId !== '') query.set('session', sessionId);
  if (gap.after >= 0) query.set('after', String(gap.after));
  if (gap.before !== undefined) query.set('before', String(gap.before));
  return `api/logs?${query}`;
}

/** What of a gap is still missing once a page of it is there. */
export function restOf(gap: Gap, page: Page): Gap | undefined {
  const first = page.entries[0];
  const last = page.entries.at(-1);
  if (page.next === undefined || first === undefined || last === undefined) return undefined;
  if (gap.after < 0) return { ...gap, before: first.seq };
  if (gap.before !== undefined && last.seq + 1 >= gap.before) return undefined;
  return { ...gap, count: undefined, after: last.seq };
}

async function get(url: string, signal: AbortSignal): Promise<unknown> {
  const response = await fetch(url, { signal, headers: { accept: 'application/json' } });
  if (!response.ok) throw new Error(await problem(response));
  return response.json();
}

/** What went wrong, in the server's words if it has any. */
async function problem(response: Response): Promise<string> {
  const told = object(await response.json().catch(() => undefined));
  return string(told?.['detail']) ?? string(told?.['title']) ?? `HTTP ${response.status}`;
}

import { readBus, type Bus } from './bus';
import { number, object } from './json';
import { words } from './format';

/** One line of the ledger: where so many records went. */
export interface Posting {
  readonly label: string;
  readonly count: number;
  /** Only a loss is worth a warning. */
  readonly loss: boolean;
}

/** What became of every record the service received. */
export interface Ledger {
  readonly received: number;
  readonly accounted: number;
  readonly dropped: number;
  readonly postings: readonly Posting[];
  /** What only the views leave out; the record has it. */
  readonly views: readonly Posting[];
  readonly clients: number | undefined;
  readonly bus: Bus | undefined;
  readonly uptime: number | undefined;
}

/** Reads `/api/stats`. */
export function readLedger(value: unknown): Ledger | undefined {
  const wire = object(value);
  const received = number(wire?.['received']);
  if (wire === undefined || received === undefined) return undefined;
  const drops = reasons(wire['dropped'], 'dropped', true);
  const postings = [
    posting('stored', wire['stored']),
    posting('merged as repeats', wire['merged']),
    ...filtered(wire),
    ...drops,
    posting('on the way', wire['in_flight']),
  ];
  return {
    received,
    accounted: sum(postings),
    dropped: sum(drops),
    postings,
    views: reasons(wire['views'], '', false),
    clients: number(wire['clients']),
    bus: readBus(wire['bus']),
    uptime: number(wire['uptime_s']),
  };
}

/**
 * Share of the received records that are accounted for. It says 100 % only if
 * that is exactly so, however small the difference.
 */
export function accountedFor(ledger: Ledger): string {
  const { received, accounted } = ledger;
  if (received === accounted) return '100 %';
  if (accounted > received) return 'more than 100 %';
  return `${(Math.floor((accounted / received) * 1000) / 10).toFixed(1)} %`;
}

/** The reasons for filtering if they are told, else the one figure. */
function filtered(wire: Readonly<Record<string, unknown>>): Posting[] {
  const total = number(wire['filtered']) ?? 0;
  const by = reasons(wire['filtered_by'], 'filtered', false);
  return sum(by) === total && by.length > 0 ? by : [posting('filtered', total)];
}

function reasons(value: unknown, what: string, loss: boolean): Posting[] {
  return Object.entries(object(value) ?? {}).map(([reason, count]) => ({
    label: what === '' ? words(reason) : `${what}: ${words(reason)}`,
    count: number(count) ?? 0,
    loss,
  }));
}

function posting(label: string, value: unknown): Posting {
  return { label, count: number(value) ?? 0, loss: false };
}

function sum(postings: readonly Posting[]): number {
  return postings.reduce((total, { count }) => total + count, 0);
}

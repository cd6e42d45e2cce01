import { count, entries, moment, words } from './format';
import { number, object, string } from './json';

/** How the bus is that joins this service with others. */
export interface Bus {
  readonly state: string;
  readonly backlog: number;
  readonly since: string | undefined;
  readonly attempts: number;
  readonly trouble: string | undefined;
  /** Whether others can be on it; the one in memory is ours alone. */
  readonly shared: boolean;
  /** What it carried, and what it could not. */
  readonly figures: readonly Figure[];
  readonly collected: Collected | undefined;
}

/** What was taken in from other hosts. */
export interface Collected {
  readonly entries: number;
  readonly hosts: readonly Figure[];
  readonly notes: readonly Figure[];
}

export interface Figure {
  readonly label: string;
  readonly count: number;
  readonly loss: boolean;
}

/** What the footer says of the bus. */
export interface BusLine {
  readonly state: 'well' | 'away' | 'troubled';
  readonly text: string;
  readonly title: string;
}

/** So few entries are only on their way. */
const ON_THE_WAY = 100;
/** Hosts with figures of their own; the quieter ones are added up. */
const HOSTS = 12;

/** Reads `bus` of `/api/stats`. */
export function readBus(value: unknown): Bus | undefined {
  const wire = object(value);
  const state = string(wire?.['state']);
  if (wire === undefined || state === undefined) return undefined;
  return {
    state,
    backlog: number(wire['backlog']) ?? 0,
    since: string(wire['since']),
    attempts: number(wire['attempts']) ?? 0,
    trouble: string(wire['trouble']),
    shared: string(wire['origin']) !== undefined,
    figures: [
      { label: 'events published', count: number(wire['published']) ?? 0, loss: false },
      ...counts(wire['dropped']).map(({ label, count }) => {
        return { label: `never published: ${words(label)}`, count, loss: count > 0 };
      }),
      ...noted(wire, ['missed'], true, 'events '),
      // No loss: an entry that was refused is published again, and a status is said anew.
      ...noted(wire, ['refused'], false, 'events '),
      ...noted(wire, ['reconnects', 'regressed'], false),
    ],
    collected: collectedIn(wire['collected']),
  };
}

/** One line about the bus; none while it is ours alone and all is well. */
export function busLine(bus: Bus, now = new Date()): BusLine | undefined {
  const waiting = bus.backlog > 0 ? ` · ${entries(bus.backlog)} waiting` : '';
  if (bus.state === 'disconnected') {
    const since = moment(bus.since, now);
    const text = `Bus away${since === undefined ? '' : ` since ${since}`}${waiting}`;
    return { state: 'away', text, title: awayTitle(bus) };
  }
  const { trouble } = bus;
  if (bus.state !== 'connected') return { state: 'away', text: `Bus ${words(bus.state)}`, title: '' };
  if (trouble !== undefined) return { state: 'troubled', text: `Bus: ${trouble}`, title: trouble };
  if (!bus.shared) return undefined;
  const title = 'The bus that joins this service with others';
  return { state: 'well', text: `Bus${bus.backlog < ON_THE_WAY ? '' : waiting}`, title };
}

function awayTitle({ trouble, attempts }: Bus): string {
  const tried = attempts > 0 ? [`tried ${count(attempts)} ${attempts === 1 ? 'time' : 'times'}`] : [];
  const why = trouble === undefined ? [] : [trouble];
  return [...why, ...tried, 'what is logged is kept, and published when it is back'].join('\n');
}

function collectedIn(value: unknown): Collected | undefined {
  const wire = object(value);
  if (wire === undefined) return undefined;
  const notes = [
    ...noted(wire, ['missing', 'malformed'], true),
    ...noted(wire, ['doubles', 'echoes'], false),
  ];
  return { entries: number(wire['entries']) ?? 0, hosts: busiest(counts(wire['by_host'])), notes };
}

/** The hosts with the most entries by name, and the rest as one. */
function busiest(hosts: readonly Figure[]): Figure[] {
  const sorted = [...hosts].sort((a, b) => b.count - a.count);
  const rest = sorted.splice(HOSTS);
  sorted.sort((a, b) => a.label.localeCompare(b.label, 'en', { numeric: true }));
  if (rest.length === 0) return sorted;
  const label = `${count(rest.length)} more`;
  return [...sorted, { label, count: rest.reduce((sum, host) => sum + host.count, 0), loss: false }];
}

/** Those figures that are not 0. */
function noted(
  wire: Readonly<Record<string, unknown>>,
  names: string[],
  loss: boolean,
  what = '',
): Figure[] {
  const all = names.map((name) => ({
    label: `${what}${words(name)}`,
    count: number(wire[name]) ?? 0,
    loss,
  }));
  return all.filter(({ count }) => count > 0);
}

function counts(value: unknown): Figure[] {
  return Object.entries(object(value) ?? {}).map(([name, count]) => {
    return { label: name, count: number(count) ?? 0, loss: false };
  });
}

import { Lead, leadOf } from './clocks';
import type { Entry } from './entry';
import type { Choice } from './filter';
import { LEVELS, type Level } from './level';

/** How many entries there are under a name. */
export interface NameCount {
  readonly key: string;
  readonly name: string;
  readonly count: number;
}

export interface HostCount extends NameCount {
  /** By how many microseconds its clock is ahead of ours, if that is known. */
  readonly lead: number | undefined;
}

/**
 * Those that were seen and those that were chosen: an address can name one that
 * has logged nothing yet, and what is chosen must be there to be seen and undone.
 */
export function withChosen<T extends NameCount>(
  names: readonly T[],
  { only, not }: Choice,
): readonly (T | NameCount)[] {
  const seen = new Set(names.map(({ key }) => key));
  const absent = [...only, ...not].filter((key) => !seen.has(key)).sort(compare);
  return [...names, ...absent.map((key) => ({ key, name: key, count: 0 }))];
}

/** How many entries of each level, service and host the page holds. */
export class Tally {
  total = 0;
  readonly #levels = new Map<Level, number>(LEVELS.map((level) => [level, 0]));
  readonly #services = new Map<string, { name: string; count: number }>();
  readonly #hosts = new Map<string, { count: number; lead: Lead }>();

  add(entry: Entry): void {
    this.total += 1;
    this.#levels.set(entry.level, this.level(entry.level) + 1);
    const service = this.#services.get(entry.serviceKey);
    if (service === undefined) this.#services.set(entry.serviceKey, { name: entry.service, count: 1 });
    else service.count += 1;
    if (entry.host !== undefined) this.#addHost(entry.host, leadOf(entry));
  }

  remove(entry: Entry): void {
    this.total -= 1;
    this.#levels.set(entry.level, this.level(entry.level) - 1);
    const service = this.#services.get(entry.serviceKey);
    if (service !== undefined) service.count -= 1;
    const host = this.#hosts.get(entry.host ?? '');
    if (host !== undefined) host.count -= 1;
  }

  level(level: Level): number {
    return this.#levels.get(level) ?? 0;
  }

  levels(): Readonly<Record<Level, number>> {
    return Object.fromEntries(this.#levels) as Record<Level, number>;
  }

  /** Services seen so far by name; one whose entries are all gone stays, at 0. */
  services(): NameCount[] {
    return [...this.#services].map(([key, service]) => ({ key, ...service })).sort(byName);
  }

  /** The same for hosts. */
  hosts(): HostCount[] {
    const all = [...this.#hosts].map(([key, { count, lead }]) => {
      return { key, name: key, count, lead: lead.value };
    });
    return all.sort(byName);
  }

  #addHost(name: string, lead: number | undefined): void {
    const host = this.#hosts.get(name) ?? { count: 0, lead: new Lead() };
    host.count += 1;
    if (lead !== undefined) host.lead.add(lead);
    this.#hosts.set(name, host);
  }
}

const { compare } = new Intl.Collator('en', { numeric: true });

function byName(a: NameCount, b: NameCount): number {
  return compare(a.name, b.name) || compare(a.key, b.key);
}

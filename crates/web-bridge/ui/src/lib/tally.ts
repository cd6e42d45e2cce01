import type { Entry } from './entry';
import { LEVELS, type Level } from './level';

export interface ServiceCount {
  readonly key: string;
  readonly name: string;
  readonly count: number;
}

/** How many entries of each level and service the page holds. */
export class Tally {
  total = 0;
  readonly #levels = new Map<Level, number>(LEVELS.map((level) => [level, 0]));
  readonly #services = new Map<string, { name: string; count: number }>();

  add(entry: Entry): void {
    this.total += 1;
    this.#levels.set(entry.level, this.level(entry.level) + 1);
    const service = this.#services.get(entry.serviceKey);
    if (service === undefined) this.#services.set(entry.serviceKey, { name: entry.service, count: 1 });
    else service.count += 1;
  }

  remove(entry: Entry): void {
    this.total -= 1;
    this.#levels.set(entry.level, this.level(entry.level) - 1);
    const service = this.#services.get(entry.serviceKey);
    if (service !== undefined) service.count -= 1;
  }

  level(level: Level): number {
    return this.#levels.get(level) ?? 0;
  }

  levels(): Readonly<Record<Level, number>> {
    return Object.fromEntries(this.#levels) as Record<Level, number>;
  }

  /** Services seen so far by name; one whose entries are all gone stays, at 0. */
  services(): ServiceCount[] {
    const all = [...this.#services].map(([key, service]) => ({ key, ...service }));
    return all.sort((a, b) => a.name.localeCompare(b.name, 'en') || a.key.localeCompare(b.key, 'en'));
  }
}

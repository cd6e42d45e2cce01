import type { Entry } from './entry';
import { micros, rough } from './format';

// What is known of other hosts' clocks. An entry says when its host received
// it and when it arrived here; the difference is that of the clocks, less the
// time it travelled.

/** A smaller difference may as well be the way, and disturbs nobody. */
const NOTICEABLE = 500_000;
const BLOCK = 64;

/** By how many microseconds its host's clock was ahead of ours, at the least. */
export function leadOf({ origin, receivedAt }: Entry): number | undefined {
  const there = micros(origin?.receivedAt);
  const here = micros(receivedAt);
  return there === undefined || here === undefined ? undefined : there - here;
}

export function noticeable(lead: number | undefined): lead is number {
  return lead !== undefined && Math.abs(lead) > NOTICEABLE;
}

/** `r3x’s clock is about 2.3 s ahead of ours`; nothing if that is not worth a word. */
export function clockText(host: string, lead: number | undefined): string | undefined {
  if (!noticeable(lead)) return undefined;
  const by = `about ${rough(Math.abs(lead))}`;
  if (lead > 0) return `${host}’s clock is ${by} ahead of ours`;
  return `${host}’s clock is ${by} behind ours, or the way here took that long`;
}

/** What is to be said beside a host of its clock: `+2.3 s`, `−4 min`. */
export function clockRemark(host: {
  readonly name: string;
  readonly lead?: number | undefined;
}): { short: string; full: string } | undefined {
  const full = clockText(host.name, host.lead);
  if (full === undefined || host.lead === undefined) return undefined;
  const by = rough(Math.abs(host.lead)).split(' ').slice(0, 2).join(' ');
  return { short: `${host.lead < 0 ? '−' : '+'}${by}`, full };
}

/**
 * What the latest entries of one host say together: the one that travelled
 * least knows best. It looks back one to two blocks, so that a clock that was
 * set right is soon seen to be right.
 */
export class Lead {
  #before: number | undefined;
  #now: number | undefined;
  #count = 0;

  add(lead: number): void {
    if (this.#count === BLOCK) {
      [this.#before, this.#now, this.#count] = [this.#now, undefined, 0];
    }
    this.#now = Math.max(lead, this.#now ?? -Infinity);
    this.#count += 1;
  }

  get value(): number | undefined {
    if (this.#now === undefined) return undefined;
    return Math.max(this.#now, this.#before ?? -Infinity);
  }
}

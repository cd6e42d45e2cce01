// How numbers and times are written. Times are the reader's clock; the full
// UTC stamp is always one hover away.

const COUNT = new Intl.NumberFormat('en-US');
const DAY = new Intl.DateTimeFormat('en-US', { month: 'short', day: 'numeric' });
const two = (value: number) => String(value).padStart(2, '0');

/** `1,201` */
export function count(value: number): string {
  return COUNT.format(value);
}

/** `1 entry`, `1,201 entries` */
export function entries(value: number): string {
  return value === 1 ? '1 entry' : `${count(value)} entries`;
}

/** `16:04:22.123` on the reader's clock, or dashes if there is no time. */
export function clock(timestamp: string | undefined): string {
  const time = new Date(timestamp ?? NaN);
  if (Number.isNaN(time.getTime())) return '--:--:--.---';
  const millis = String(time.getMilliseconds()).padStart(3, '0');
  return `${clockSeconds(time)}.${millis}`;
}

/** `16:04:22` on the reader's clock. */
export function clockSeconds(time: Date): string {
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** `2026-11-22 16:04:22.123456 UTC`, keeping every digit that was sent. */
export function utc(timestamp: string | undefined): string {
  const time = new Date(timestamp ?? NaN);
  if (timestamp === undefined || Number.isNaN(time.getTime())) return 'unknown';
  const fraction = /\.(\d+)/.exec(timestamp)?.[1] ?? '000';
  return `${time.toISOString().slice(0, 19).replace('T', ' ')}.${fraction} UTC`;
}

/** Microseconds since the epoch, or `undefined`. */
export function micros(timestamp: string | undefined): number | undefined {
  const time = Date.parse(timestamp ?? '');
  if (Number.isNaN(time)) return undefined;
  const fraction = /\.(\d+)/.exec(timestamp ?? '')?.[1] ?? '';
  const seconds = Math.floor(time / 1000);
  return seconds * 1e6 + Number(fraction.padEnd(6, '0').slice(0, 6));
}

/** Time from one stamp to the next: `+0.4 ms`, `+1.204 s`, `−3 min 05 s`. */
export function delta(from: string | undefined, to: string | undefined): string | undefined {
  const start = micros(from);
  const end = micros(to);
  if (start === undefined || end === undefined) return undefined;
  return `${end < start ? '−' : '+'}${span(Math.abs(end - start))}`;
}

function span(length: number): string {
  if (length < 1e5) return `${Number((length / 1e3).toFixed(1))} ms`;
  if (length < 6e7) return `${(length / 1e6).toFixed(3)} s`;
  return duration(length / 1e6);
}

/** A length in microseconds, about: `0.7 s`, `2.3 s`, `14 s`, `3 min 05 s`. */
export function rough(length: number): string {
  return length < 9.95e6 ? `${(length / 1e6).toFixed(1)} s` : duration(Math.round(length / 1e6));
}

/** `16:04:22`, or with the day if that is not today: `Nov 21, 16:04:22`. */
export function moment(timestamp: string | undefined, now = new Date()): string | undefined {
  const time = new Date(timestamp ?? NaN);
  if (Number.isNaN(time.getTime())) return undefined;
  const seconds = clockSeconds(time);
  return time.toDateString() === now.toDateString() ? seconds : `${DAY.format(time)}, ${seconds}`;
}

/** `12 s`, `3 min 05 s`, `2 h 07 min` */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
}

/** A word of the wire for people: `slow_client` → `slow client`. */
export function words(name: string): string {
  return name.replaceAll('_', ' ');
}

/** The reader's time zone as an offset, for example `UTC+1`. */
export function zone(now = new Date()): string {
  const minutes = -now.getTimezoneOffset();
  if (minutes === 0) return 'UTC';
  const rest = Math.abs(minutes) % 60;
  const hours = Math.floor(Math.abs(minutes) / 60);
  return `UTC${minutes < 0 ? '−' : '+'}${hours}${rest === 0 ? '' : `:${two(rest)}`}`;
}

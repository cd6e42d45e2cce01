/** The five levels, from the least to the most severe. */
export const LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] as const;

export type Level = (typeof LEVELS)[number];

/** Position of a level in `LEVELS`: compare these, never the names. */
export const RANK: Readonly<Record<Level, number>> = {
  DEBUG: 0,
  INFO: 1,
  WARNING: 2,
  ERROR: 3,
  CRITICAL: 4,
};

/** The level of that name in any case, or `undefined`. */
export function levelNamed(name: unknown): Level | undefined {
  if (typeof name !== 'string') return undefined;
  const upper = name.toUpperCase();
  return LEVELS.find((level) => level === upper);
}

/** The level at or below one of Python's severity numbers. */
export function levelOf(severity: number): Level {
  const rank = Math.min(4, Math.max(0, Math.floor(severity / 10) - 1));
  return LEVELS[rank] ?? 'INFO';
}

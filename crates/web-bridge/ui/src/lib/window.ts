// Which rows a scrolled list has to render. Folded rows all have one height;
// an unfolded row is taller by what was measured. Few are ever open, so they
// are walked one by one.

/** An unfolded row: its index, and how much taller it is than a folded one. */
export interface Unfolded {
  readonly index: number;
  readonly extra: number;
}

/** The rows of a list as heights. `unfolded` ascends by index. */
export interface Heights {
  readonly count: number;
  readonly row: number;
  readonly unfolded: readonly Unfolded[];
}

/** The rows to render: `start` up to but not including `end`. */
export interface Window {
  readonly start: number;
  readonly end: number;
  /** Pixels above the first rendered row. */
  readonly offset: number;
  /** Pixels of the whole list. */
  readonly total: number;
}

/** Pixels above the row at `index`; for `index == count`, of the whole list. */
export function offsetOf(heights: Heights, index: number): number {
  let offset = index * heights.row;
  for (const { index: at, extra } of heights.unfolded) {
    if (at >= index) break;
    offset += extra;
  }
  return offset;
}

/** Index of the row at a height of `y` pixels, within the list. */
export function indexAt(heights: Heights, y: number): number {
  let above = 0; // extra pixels of the unfolded rows that end above y
  for (const { index, extra } of heights.unfolded) {
    const top = index * heights.row + above;
    if (y < top + heights.row) break;
    if (y < top + heights.row + extra) return index;
    above += extra;
  }
  const index = Math.floor((y - above) / heights.row);
  return Math.max(0, Math.min(heights.count - 1, index));
}

/** The window of a list scrolled to `top` in a port of `height` pixels. */
export function windowOf(heights: Heights, top: number, height: number, overscan: number): Window {
  const total = offsetOf(heights, heights.count);
  if (heights.count === 0) return { start: 0, end: 0, offset: 0, total };
  const start = Math.max(0, indexAt(heights, top) - overscan);
  const end = Math.min(heights.count, indexAt(heights, top + height) + 1 + overscan);
  return { start, end, offset: offsetOf(heights, start), total };
}

/** How far to scroll so that a row is wholly visible; `top` if it is already. */
export function scrollTo(heights: Heights, index: number, top: number, height: number): number {
  const above = offsetOf(heights, index);
  const below = offsetOf(heights, index + 1);
  if (above < top) return above;
  if (below > top + height) return Math.min(above, below - height);
  return top;
}

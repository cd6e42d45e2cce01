import type { Journal } from './journal';
import { offsetOf, scrollTo, windowOf, type Heights, type Unfolded } from './window';

const OVERSCAN = 8;
/** Within this many pixels of the end counts as the end. */
const END_SLACK = 4;

/**
 * Where the reader is in the list. It follows the end until the reader scrolls
 * up, selects text, or unfolds an entry; from then on nothing moves until they
 * return to the end.
 */
export class Scroll {
  following = $state(true);
  /** Height of a folded row in pixels; the style sheet has the same. */
  rowHeight = $state(24);
  /** Key of the row the keyboard is on. */
  cursor = $state<number>();

  #top = $state(0);
  #height = $state(600);
  /** Unfolded rows by key, with the pixels their details take. */
  #unfolded = $state.raw<ReadonlyMap<number, number>>(new Map());
  /** Counts changes of the journal, which is not reactive itself. */
  #changes = $state(0);

  #port: HTMLElement | undefined;
  #lastTop = 0;
  #moveTo: number | undefined;
  /** An entry was folded: once that is rendered, the end may be in view. */
  #folded = false;
  #arrivedBeforePause = 0;

  readonly #heights: Heights = $derived.by(() => {
    void this.#changes;
    const count = this.journal.shown.length;
    return { count, row: this.rowHeight, unfolded: this.#unfoldedByIndex() };
  });

  /** The part of the list to render. */
  readonly window = $derived.by(() => {
    const heights = this.#heights;
    const end = offsetOf(heights, heights.count) - this.#height;
    const top = this.following ? Math.max(0, end) : this.#top;
    const window = windowOf(heights, top, this.#height, OVERSCAN);
    return { ...window, rows: this.journal.shown.slice(window.start, window.end) };
  });

  /** Matching entries that arrived since the list was paused. */
  readonly unseen = $derived.by(() => {
    void this.#changes;
    return this.following ? 0 : this.journal.arrived - this.#arrivedBeforePause;
  });

  constructor(
    private readonly journal: Journal,
    /** Called when the journal may have let go of entries again. */
    private readonly onFollow: () => void = () => undefined,
  ) {}

  /** The journal changed: look again. */
  refresh(): void {
    this.#changes += 1;
  }

  /** Takes charge of the scrolling element; answers how to let go of it. */
  attach(port: HTMLElement): () => void {
    this.#port = port;
    const sizes = new ResizeObserver(() => {
      this.#height = port.clientHeight;
      this.settle();
    });
    sizes.observe(port);
    return () => {
      sizes.disconnect();
      this.#port = undefined;
    };
  }

  /** Puts the scroll position where it belongs. Call it after rendering. */
  settle(): void {
    const port = this.#port;
    if (port === undefined) return;
    if (this.following) port.scrollTop = port.scrollHeight;
    else if (this.#moveTo !== undefined) port.scrollTop = this.#moveTo;
    this.#moveTo = undefined;
    this.#lastTop = port.scrollTop;
    const folded = this.#folded;
    this.#folded = false;
    if (folded && !this.following) this.followAtEnd();
  }

  /** The element was scrolled, by the reader or by `settle`. */
  scrolled(): void {
    const port = this.#port;
    if (port === undefined) return;
    const top = port.scrollTop;
    const up = top < this.#lastTop - 1;
    const down = top > this.#lastTop + 1;
    this.#lastTop = top;
    this.#top = top;
    if (this.following && up && !this.#atEnd()) this.pause();
    else if (!this.following && down) this.followAtEnd();
  }

  /** The wheel went up: the reader wants to leave the end. */
  wheeled(deltaY: number): void {
    const port = this.#port;
    if (deltaY < 0 && port !== undefined && port.scrollTop > 0) this.pause();
  }

  pause(): void {
    if (!this.following) return;
    this.#top = this.#port?.scrollTop ?? 0;
    this.#arrivedBeforePause = this.journal.arrived;
    this.following = false;
    this.journal.reading(true);
  }

  follow(): void {
    if (this.following) return;
    this.following = true;
    this.journal.reading(false);
    this.refresh();
    this.onFollow();
  }

  /** Follows again if the reader is at the end and nothing holds them there. */
  followAtEnd(): void {
    if (this.#atEnd() && !this.#unfoldedInView() && !this.selecting()) this.follow();
  }

  /** Whether the reader has selected text of the list. */
  selecting(): boolean {
    const selection = document.getSelection();
    return (
      selection !== null && !selection.isCollapsed && !!this.#port?.contains(selection.anchorNode)
    );
  }

  isUnfolded(key: number): boolean {
    return this.#unfolded.has(key);
  }

  /** Unfolds an entry, which pauses, or folds it again. */
  toggle(key: number): void {
    const unfolded = new Map(this.#unfolded);
    const folded = unfolded.delete(key);
    if (!folded) {
      this.pause();
      unfolded.set(key, 0);
    }
    this.#unfolded = unfolded;
    this.cursor = key;
    this.#folded = folded;
  }

  /** The details of an unfolded entry turned out to be this high. */
  measured(key: number, pixels: number): void {
    const known = this.#unfolded.get(key);
    if (known === undefined || known === pixels) return;
    const index = this.journal.indexOf(key);
    const above = offsetOf(this.#heights, index + 1) <= this.#top;
    this.#unfolded = new Map(this.#unfolded).set(key, pixels);
    if (known === 0) this.#reveal(index);
    else if (above) this.#reachFor(this.#top + pixels - known);
  }

  /** Moves the cursor by rows, and the list only if it has to. */
  step(by: number): void {
    const count = this.journal.shown.length;
    if (count === 0) return;
    const index = Math.max(0, Math.min(count - 1, this.#stepFrom(by)));
    this.pause();
    this.cursor = this.journal.shown[index]?.key;
    this.#reveal(index);
    this.settle();
  }

  page(by: number): void {
    if (by < 0) this.pause();
    this.#port?.scrollBy({ top: by * (this.#height - this.rowHeight) });
  }

  toStart(): void {
    this.pause();
    this.#port?.scrollTo({ top: 0 });
  }

  /**
   * Changes the list while keeping the entry at the top of the view where it
   * is, or the next one that is still there.
   */
  hold(change: () => void): void {
    const window = this.window;
    const heights = this.#heights;
    const anchor = window.rows.find(
      ({ kind }, at) =>
        kind === 'entry' && offsetOf(heights, window.start + at + 1) > this.#top,
    );
    const above = anchor === undefined ? 0 : this.#offset(anchor.key) - this.#top;
    change();
    this.refresh();
    if (this.following || anchor === undefined) return;
    this.#reachFor(Math.max(0, this.#offset(anchor.key) - above));
  }

  /** Scrolls as little as shows the whole row, its first line in any case. */
  #reveal(index: number): void {
    if (!this.following) this.#reachFor(scrollTo(this.#heights, index, this.#top, this.#height));
  }

  /** Where to scroll to once this change is rendered. */
  #reachFor(top: number): void {
    if (top === this.#top) return;
    this.#top = top;
    this.#moveTo = top;
  }

  #offset(key: number): number {
    return offsetOf(this.#heights, this.journal.indexOf(key));
  }

  #stepFrom(by: number): number {
    const { shown } = this.journal;
    if (this.cursor === undefined) {
      const last = Math.ceil((this.#top + this.#height) / this.rowHeight) - 1;
      return this.following || by < 0 ? Math.min(shown.length - 1, last) : this.window.start + OVERSCAN;
    }
    const index = this.journal.indexOf(this.cursor);
    const gone = shown[index]?.key !== this.cursor;
    return gone && by > 0 ? index : index + by;
  }

  #atEnd(): boolean {
    const port = this.#port;
    if (port === undefined) return true;
    return port.scrollTop + port.clientHeight >= port.scrollHeight - END_SLACK;
  }

  #unfoldedInView(): boolean {
    const { rows, start } = this.window;
    return rows.some(
      (row, at) =>
        this.#unfolded.has(row.key) && offsetOf(this.#heights, start + at + 1) > this.#top,
    );
  }

  #unfoldedByIndex(): Unfolded[] {
    const found: Unfolded[] = [];
    for (const [key, extra] of this.#unfolded) {
      const index = this.journal.indexOf(key);
      if (this.journal.shown[index]?.key === key) found.push({ index, extra });
    }
    return found.sort((a, b) => a.index - b.index);
  }
}

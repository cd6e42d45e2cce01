// Text from entries is untrusted: it may hold terminal sequences, control
// characters, and characters that turn the reading direction around. Pieces
// made here are rendered as text nodes, never as HTML.

/** A run of text, and how to show it. */
export interface Piece {
  readonly kind: 'plain' | 'hit' | 'escape';
  readonly text: string;
}

const ESC = '\u001b';
const BEL = '\u0007';

// CSI sequences (colours, cursor), OSC sequences (titles, links), and the
// two-character rest.
const ANSI = new RegExp(
  `${ESC}\\[[0-?]*[ -/]*[@-~]|${ESC}\\][^${BEL}${ESC}]*(?:${BEL}|${ESC}\\\\)|${ESC}[@-Z\\\\-_]`,
  'g',
);

// C0 and C1 controls save tab and newline; marks that reorder or hide text;
// the line separators; halves of surrogate pairs.
const UNSAFE =
  // eslint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\p{Cs}/gu;

/** Chips beyond this many stay ordinary text: they would only cost time. */
const MOST_CHIPS = 400;
/** So do hits, which a megabyte of one letter would otherwise have a million of. */
const MOST_HITS = 2000;

/** The text without terminal sequences. */
export function withoutAnsi(text: string): string {
  return text.includes(ESC) ? text.replace(ANSI, '') : text;
}

/** The text as lines end: `\r\n` counts as one newline. */
export function normalized(text: string): string {
  const plain = withoutAnsi(text);
  return plain.includes('\r\n') ? plain.replaceAll('\r\n', '\n') : plain;
}

/** The first line that says something, and how many lines follow it. */
export function headline(text: string): { line: string; more: number } {
  const whole = normalized(text).replace(/^\n+|\s+$/g, '');
  const end = whole.indexOf('\n');
  if (end < 0) return { line: whole, more: 0 };
  return { line: whole.slice(0, end), more: whole.split('\n').length - 1 };
}

/** How an unsafe character is written out, for example `\u202e`. */
export function escaped(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, '0')}`;
  return `\\u{${code.toString(16)}}`;
}

/** Cuts text into plain runs, hits of the search pattern, and escapes. */
export function pieces(text: string, pattern?: RegExp): Piece[] {
  return split(text, pattern, 'hit').flatMap((piece) =>
    piece.kind === 'hit' ? [{ ...piece, text: visible(piece.text) }] : chips(piece.text),
  );
}

/** The text with every unsafe character written out. */
export function visible(text: string): string {
  return text.replace(UNSAFE, escaped);
}

function chips(text: string): Piece[] {
  const cut = split(text, UNSAFE, 'escape');
  if (cut.length > MOST_CHIPS) return [{ kind: 'plain', text: visible(text) }];
  return cut.map((piece) =>
    piece.kind === 'escape' ? { kind: 'escape', text: escaped(piece.text) } : piece,
  );
}

function split(text: string, pattern: RegExp | undefined, kind: 'hit' | 'escape'): Piece[] {
  if (pattern === undefined) return [{ kind: 'plain', text }];
  const found: Piece[] = [];
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    if (match[0] === '') continue;
    if (kind === 'hit' && found.length >= 2 * MOST_HITS) break;
    if (match.index > from) found.push({ kind: 'plain', text: text.slice(from, match.index) });
    found.push({ kind, text: match[0] });
    from = match.index + match[0].length;
  }
  if (from < text.length || found.length === 0) found.push({ kind: 'plain', text: text.slice(from) });
  return found;
}

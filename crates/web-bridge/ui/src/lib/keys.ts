/** What a key asks for. */
export type Action =
  | 'next'
  | 'previous'
  | 'page-down'
  | 'page-up'
  | 'start'
  | 'live'
  | 'unfold'
  | 'search'
  | 'back'
  | 'help';

const ACTIONS: Readonly<Record<string, Action>> = {
  j: 'next',
  ArrowDown: 'next',
  k: 'previous',
  ArrowUp: 'previous',
  PageDown: 'page-down',
  PageUp: 'page-up',
  Home: 'start',
  End: 'live',
  G: 'live',
  Enter: 'unfold',
  '/': 'search',
  Escape: 'back',
  '?': 'help',
};

/** What the help lists, in its order. */
export const HELP: readonly (readonly [keys: readonly string[], does: string])[] = [
  [['j', 'k', '↓', '↑'], 'next and previous entry'],
  [['Enter'], 'unfold or fold the entry'],
  [['/'], 'search'],
  [['End'], 'back to the end, live'],
  [['Home', 'PgUp', 'PgDn'], 'move through the list'],
  [['Esc'], 'clear the search, or let go of the entry'],
  [['?'], 'this help'],
];

/** The part of a keyboard event that matters here. */
export interface Stroke {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly altKey: boolean;
  readonly metaKey: boolean;
}

/** Which kind of element has the focus: some keys belong to it. */
export type Focus = 'text' | 'control' | 'elsewhere';

/** What a stroke asks for, or `undefined` if it is not ours. */
export function actionFor(stroke: Stroke, focus: Focus): Action | undefined {
  if (stroke.ctrlKey || stroke.altKey || stroke.metaKey) return undefined;
  const action = ACTIONS[stroke.key];
  if (focus === 'text') return action === 'back' ? action : undefined;
  if (focus === 'control' && action === 'unfold') return undefined;
  return action;
}

/** The kind of the element a stroke went to. */
export function focusOf(target: EventTarget | null): Focus {
  if (!(target instanceof HTMLElement)) return 'elsewhere';
  if (target.matches('input, textarea, select')) return 'text';
  return target.matches('button, a, summary') ? 'control' : 'elsewhere';
}

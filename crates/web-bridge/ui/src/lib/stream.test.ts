import { describe, expect, test } from 'vitest';
import { sample } from './sample';
import { advance, backoff, GIVE_UP_HOPE, LogStream, streamUrl, type Connection } from './stream';
import type { StreamEvent } from './wire';

/** A browser whose connections, clock and timers the test moves by hand. */
class FakeWorld {
  sources: FakeSource[] = [];
  time = 0;
  #timer: { at: number; action: () => void } | undefined;

  open = (url: string) => {
    const source = new FakeSource(url);
    this.sources.push(source);
    return source as unknown as EventSource;
  };
  now = () => this.time;
  random = () => 0.5;
  after = (milliseconds: number, action: () => void) => {
    this.#timer = { at: this.time + milliseconds, action };
    return () => (this.#timer = undefined);
  };

  get source(): FakeSource {
    const source = this.sources.at(-1);
    if (source === undefined) throw new Error('nothing was opened');
    return source;
  }

  /** Lets time pass until the next retry; answers how long it was. */
  retry(): number {
    const timer = this.#timer;
    if (timer === undefined) throw new Error('no retry is planned');
    const waited = timer.at - this.time;
    this.time = timer.at;
    this.#timer = undefined;
    timer.action();
    return waited;
  }
}

class FakeSource {
  closed = false;
  onerror: (() => void) | null = null;
  readonly #listeners = new Map<string, (event: { data: string }) => void>();

  constructor(readonly url: string) {}
  addEventListener(name: string, listener: (event: { data: string }) => void) {
    this.#listeners.set(name, listener);
  }
  close() {
    this.closed = true;
  }
  say(name: string, data: unknown) {
    this.#listeners.get(name)?.({ data: JSON.stringify(data) });
  }
  get query() {
    return new URLSearchParams(this.url.split('?')[1]);
  }
}

function connected() {
  const world = new FakeWorld();
  const events: StreamEvent[] = [];
  const states: Connection[] = [];
  const stream = new LogStream((event) => events.push(event), (state) => states.push(state), world);
  stream.open();
  world.source.say('session', { session_id: 'one', last_seq: 0 });
  return { world, events, states, stream };
}

describe('the stream', () => {
  test('begins with recent entries', () => {
    const { world } = connected();
    expect(world.source.url.startsWith('api/logs/stream?')).toBe(true);
    expect(world.source.query.get('recent')).toBe('1000');
    expect(world.source.query.has('after')).toBe(false);
  });

  test('goes on after the last entry when the connection breaks', () => {
    const { world, states } = connected();
    world.source.say('entry', [{ seq: 41 }, { seq: 42 }]);
    const broken = world.source;
    broken.onerror?.();
    expect(broken.closed).toBe(true);
    expect(states.at(-1)).toEqual({ state: 'reconnecting', since: 0 });
    world.retry();
    expect(world.source.query.get('after')).toBe('42');
    expect(world.source.query.get('session')).toBe('one');
    world.source.say('session', { session_id: 'one', last_seq: 42 });
    expect(states.at(-1)).toEqual({ state: 'connected' });
  });

  test('forgets where it was when the session is another', () => {
    const { world } = connected();
    world.source.say('entry', [{ seq: 42 }]);
    world.source.onerror?.();
    world.retry();
    world.source.say('session', { session_id: 'two', last_seq: 3 });
    world.source.say('entry', [{ seq: 3 }]);
    world.source.onerror?.();
    world.retry();
    expect(world.source.query.get('after')).toBe('3');
    expect(world.source.query.get('session')).toBe('two');
  });

  test('waits longer each time, and starts over once connected', () => {
    const { world } = connected();
    const waits = Array.from({ length: 7 }, () => {
      world.source.onerror?.();
      return world.retry();
    });
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    world.source.say('session', { session_id: 'one' });
    world.source.onerror?.();
    expect(world.retry()).toBe(500);
  });

  test('admits to being disconnected after a while, since the first failure', () => {
    const { world, states } = connected();
    world.time = 1000;
    while (world.time < 1000 + GIVE_UP_HOPE) {
      world.source.onerror?.();
      expect(states.at(-1)).toEqual({ state: 'reconnecting', since: 1000 });
      world.retry();
    }
    world.source.onerror?.();
    expect(states.at(-1)).toEqual({ state: 'disconnected', since: 1000 });
  });

  test('in doubt begins anew, and once only while it is away', () => {
    const { world, stream, states } = connected();
    world.source.say('entry', [{ seq: 42 }]);
    const stuck = world.source;
    stream.doubt();
    expect(stuck.closed).toBe(true);
    expect(states.at(-1)).toEqual({ state: 'reconnecting', since: 0 });
    world.retry();
    stream.doubt();
    expect(world.sources.filter((source) => !source.closed)).toEqual([world.source]);
    expect(world.source.query.get('after')).toBe('42');
  });

  test('tried by hand leaves no second connection behind', () => {
    const { world, stream } = connected();
    world.source.onerror?.();
    stream.open();
    expect(() => world.retry()).toThrow('no retry is planned');
    expect(world.sources.filter((source) => !source.closed)).toHaveLength(1);
  });

  test('hands on what arrives, in order, and passes over what it cannot read', () => {
    const { world, events } = connected();
    world.source.say('entry', [{ seq: 1 }]);
    world.source.say('gap', 'nonsense');
    world.source.say('repeat', [{ of: 'x', seq: 2, count: 1 }]);
    expect(events.map((event) => event.kind)).toEqual(['session', 'entries', 'repeats']);
  });
});

describe('the cursor', () => {
  test('is moved by entries only, and never back', () => {
    const at = { sessionId: 'one', seq: 10 };
    const entries = (seq: number): StreamEvent => ({
      kind: 'entries',
      entries: [sample(seq)],
      unreadable: 0,
    });
    expect(advance(at, entries(11))?.seq).toBe(11);
    expect(advance(at, entries(9))?.seq).toBe(10);
    expect(advance(at, { kind: 'repeats', repeats: [] })).toBe(at);
    expect(advance(at, { kind: 'entries', entries: [], unreadable: 2 })).toBe(at);
  });

  test('without a number asks for recent entries', () => {
    expect(streamUrl({ sessionId: 'one', seq: undefined })).toBe(streamUrl(undefined));
  });
});

test('waits differ between pages by up to a quarter', () => {
  expect([backoff(0, 0), backoff(0, 1)]).toEqual([375, 625]);
});

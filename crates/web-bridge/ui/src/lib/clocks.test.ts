import { describe, expect, test } from 'vitest';
import { clockRemark, clockText, Lead, leadOf } from './clocks';
import { hueOf } from './hue';
import { sample } from './sample';

const from = (there: string, here: string) =>
  sample(1, { received_at: here, host: 'r3x', origin: { id: 'r3x-1', received_at: there } });

describe('the difference of the clocks', () => {
  test('is known of entries from elsewhere only', () => {
    expect(leadOf(from('2026-11-22T16:04:22.300000Z', '2026-11-22T16:04:20Z'))).toBe(2_300_000);
    expect(leadOf(from('2026-11-22T16:04:18Z', '2026-11-22T16:04:20Z'))).toBe(-2_000_000);
    expect(leadOf(sample(1, { received_at: '2026-11-22T16:04:20Z' }))).toBeUndefined();
    expect(leadOf(from('nonsense', '2026-11-22T16:04:20Z'))).toBeUndefined();
  });

  test('is told in words if it is more than the way', () => {
    expect(clockText('r3x', 2_300_000)).toBe('r3x’s clock is about 2.3 s ahead of ours');
    expect(clockText('r3x', -185_000_000)).toBe(
      'r3x’s clock is about 3 min 05 s behind ours, or the way here took that long',
    );
    expect(clockText('r3x', 500_000)).toBeUndefined();
    expect(clockText('r3x', -500_000)).toBeUndefined();
    expect(clockText('r3x', undefined)).toBeUndefined();
  });

  test('is told in short beside the host', () => {
    expect(clockRemark({ name: 'r3x', lead: -740_000 })?.short).toBe('−0.7 s');
    expect(clockRemark({ name: 'r3x', lead: 12_600_000 })?.short).toBe('+13 s');
    expect(clockRemark({ name: 'r3x', lead: -250_000_000 })?.short).toBe('−4 min');
    expect(clockRemark({ name: 'r3x', lead: 20 })).toBeUndefined();
  });
});

describe('the lead of a host', () => {
  test('is that of the entry that travelled least', () => {
    const lead = new Lead();
    expect(lead.value).toBeUndefined();
    for (const way of [-3e6, -10, -7e8]) lead.add(way);
    expect(lead.value).toBe(-10);
  });

  test('forgets a clock that was wrong and is right now', () => {
    const lead = new Lead();
    lead.add(9e6);
    for (let at = 0; at < 64; at++) lead.add(-5);
    expect(lead.value).toBe(9e6);
    for (let at = 0; at < 128; at++) lead.add(-5);
    expect(lead.value).toBe(-5);
  });
});

test('a name has one colour, and names have several', () => {
  expect(hueOf('r3x')).toBe(hueOf('r3x'));
  const hues = new Set(Array.from({ length: 100 }, (_, at) => hueOf(`host-${at}`)));
  expect(hues.size).toBeGreaterThan(8);
  expect([...hues].every((hue) => hue >= 0 && hue < 360)).toBe(true);
});

const HUES = 12;

/** The colour of a name, as an angle: the same in every browser, always. */
export function hueOf(name: string): number {
  let hash = 0x811c9dc5; // FNV-1a
  for (let at = 0; at < name.length; at++) {
    hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  }
  return ((hash >>> 0) % HUES) * (360 / HUES);
}

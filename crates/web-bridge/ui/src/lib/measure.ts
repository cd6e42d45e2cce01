/** An attachment that reports an element's height whenever it changes. */
export function measured(report: (pixels: number) => void): (element: HTMLElement) => () => void {
  return (element) => {
    const sizes = new ResizeObserver(() => report(element.offsetHeight));
    sizes.observe(element);
    return () => sizes.disconnect();
  };
}

/** Follows a media query; answers how to stop. */
export function followMedia(query: string, report: (matches: boolean) => void): () => void {
  const list = matchMedia(query);
  const tell = () => report(list.matches);
  tell();
  list.addEventListener('change', tell);
  return () => list.removeEventListener('change', tell);
}

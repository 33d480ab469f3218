/** Labels at line ends that never overlap. */

/**
 * Positions nearest to the wanted ones, in their order, at least `gap` apart and inside [lo, hi]: neighbours that collide are
 * pooled and spread around their common middle. When they cannot all fit, they share the room evenly.
 */
export function dodge(wanted: readonly number[], gap: number, lo: number, hi: number): number[] {
  const n = wanted.length;
  if (!n) return [];
  const room = n > 1 ? Math.min(gap, (hi - lo) / (n - 1)) : gap;
  const sorted = wanted.map((_, i) => i).sort((a, b) => (wanted[a] as number) - (wanted[b] as number) || a - b);
  // With the gaps taken out, "at least gap apart" means "never decreasing": pool adjacent violators.
  const blocks: { sum: number; size: number }[] = [];
  sorted.forEach((index, place) => {
    let block = { sum: (wanted[index] as number) - place * room, size: 1 };
    for (
      let last = blocks[blocks.length - 1];
      last && last.sum / last.size >= block.sum / block.size;
      last = blocks[blocks.length - 1]
    ) {
      blocks.pop();
      block = { sum: last.sum + block.sum, size: last.size + block.size };
    }
    blocks.push(block);
  });
  const out = new Array<number>(n);
  let place = 0;
  for (const { sum, size } of blocks) {
    const top = Math.min(Math.max(sum / size, lo), hi - (n - 1) * room);
    for (let j = 0; j < size; j++, place++) out[sorted[place] as number] = top + place * room;
  }
  return out;
}

/** A name that fits in `width` pixels, with its middle left out: the ends of column names are what tells them apart. */
export function shorten(text: string, width: number, measure: (text: string) => number): string {
  if (measure(text) <= width) return text;
  for (let keep = text.length - 1; keep > 1; keep--) {
    const head = Math.ceil(keep / 2);
    const short = `${text.slice(0, head)}…${text.slice(text.length - (keep - head))}`;
    if (measure(short) <= width) return short;
  }
  return text.slice(0, 1);
}

/** Rows of a list that are on screen, with a few more on either side. */
export function listWindow(
  scrollTop: number,
  height: number,
  rowHeight: number,
  count: number,
  extra = 6,
): { start: number; end: number } {
  const start = Math.max(0, Math.min(count, Math.floor(scrollTop / rowHeight) - extra));
  return { start, end: Math.min(count, Math.ceil((scrollTop + height) / rowHeight) + extra) };
}

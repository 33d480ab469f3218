/** Which of the logged steps stand as columns. */

/**
 * Indices of at most `fits` of `count` steps, evenly spaced, always with the first, the last and the cursor's. The cursor
 * takes the place of its nearest neighbour, so that moving it changes one column and leaves the others where they are.
 */
export function chooseColumns(count: number, cursor: number, fits: number): number[] {
  if (count <= 0) return [];
  if (count <= fits) return Array.from({ length: count }, (_, at) => at);
  if (fits <= 1) return [cursor];
  const chosen = Array.from({ length: fits }, (_, at) => Math.round((at * (count - 1)) / (fits - 1)));
  if (chosen.includes(cursor)) return chosen;
  if (fits === 2) return [cursor, count - 1];
  let nearest = 1;
  for (let at = 1; at < fits - 1; at++)
    if (Math.abs((chosen[at] ?? 0) - cursor) < Math.abs((chosen[nearest] ?? 0) - cursor)) nearest = at;
  chosen[nearest] = cursor;
  return chosen;
}

/** First and one-past-last of the items of `pitch` pixels that a window shows, with some around it. */
export function visibleRange(
  count: number,
  pitch: number,
  offset: number,
  size: number,
  around: number,
): [number, number] {
  const first = Math.max(0, Math.floor(offset / pitch) - around);
  return [Math.min(first, count), Math.min(count, Math.ceil((offset + size) / pitch) + around)];
}

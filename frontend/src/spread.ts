/** Mean, lowest and highest of what some runs have at each place; `n` is how many have a finite value there. */
export function spreadOf(columns: readonly ArrayLike<number>[]): {
  mean: Float64Array;
  low: Float64Array;
  high: Float64Array;
  n: Int32Array;
} {
  const length = Math.max(0, ...columns.map((one) => one.length));
  const out = {
    mean: new Float64Array(length).fill(NaN),
    low: new Float64Array(length).fill(NaN),
    high: new Float64Array(length).fill(NaN),
    n: new Int32Array(length),
  };
  for (let at = 0; at < length; at++) {
    const values = columns.flatMap((one) => (Number.isFinite(one[at]) ? [one[at] as number] : []));
    if (!values.length) continue;
    out.n[at] = values.length;
    out.mean[at] = values.reduce((a, b) => a + b, 0) / values.length;
    out.low[at] = Math.min(...values);
    out.high[at] = Math.max(...values);
  }
  return out;
}

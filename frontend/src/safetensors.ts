/** Arrays as the server sends them: a little-endian u64 header length, a JSON header, raw arrays. */

export type Numbers = Uint8Array | Int32Array | Float32Array | Float64Array;

export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Numbers;
}

export interface Tensors {
  readonly arrays: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

const WIDTH: Readonly<Record<string, number>> = { U8: 1, I32: 4, F32: 4, F64: 8, I64: 8 };

function numbers(dtype: string, bytes: ArrayBuffer): Numbers {
  if (dtype === "U8") return new Uint8Array(bytes);
  if (dtype === "I32") return new Int32Array(bytes);
  if (dtype === "F32") return new Float32Array(bytes);
  if (dtype === "F64") return new Float64Array(bytes);
  return Float64Array.from(new BigInt64Array(bytes), Number);
}

/** Reads every array of a safetensors answer; throws a sentence when the bytes are not one. */
export function parseSafetensors(buffer: ArrayBuffer): Tensors {
  const view = new DataView(buffer);
  const length = buffer.byteLength < 8 ? -1 : Number(view.getBigUint64(0, true));
  if (length < 2 || length > buffer.byteLength - 8)
    throw new Error(`An answer must start with a safetensors header. Received: ${buffer.byteLength} bytes`);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length))) as Record<string, unknown>;
  const arrays = new Map<string, Tensor>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") {
      metadata = value as Record<string, string>;
      continue;
    }
    const { dtype, shape, data_offsets } = value as Entry;
    const [start, end] = data_offsets;
    const width = WIDTH[dtype];
    if (width === undefined) throw new Error(`An array must be U8, I32, I64, F32 or F64. Received: ${dtype} (${name})`);
    const size = shape.reduce((product, side) => product * side, 1);
    if (end - start !== size * width || 8 + length + end > buffer.byteLength)
      throw new Error(
        `An array must be whole. Received: ${end - start} bytes for ${name} of shape [${shape.join(", ")}]`,
      );
    arrays.set(name, { shape, data: numbers(dtype, buffer.slice(8 + length + start, 8 + length + end)) });
  }
  return { arrays, metadata };
}

/** Builds answers as the server would: safetensors bytes and a fetch that gives them. */
import { vi } from "vitest";

type Data = Uint8Array | Int32Array | Float32Array | Float64Array | BigInt64Array;

function dtypeOf(data: Data): string {
  if (data instanceof Uint8Array) return "U8";
  if (data instanceof Int32Array) return "I32";
  if (data instanceof Float32Array) return "F32";
  return data instanceof Float64Array ? "F64" : "I64";
}

export function safetensors(arrays: Record<string, [number[], Data]>, answer: unknown): ArrayBuffer {
  const header: Record<string, unknown> = { __metadata__: { answer: JSON.stringify(answer) } };
  let offset = 0;
  for (const [name, [shape, data]] of Object.entries(arrays)) {
    header[name] = { dtype: dtypeOf(data), shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const head = new TextEncoder().encode(JSON.stringify(header));
  const out = new Uint8Array(8 + head.length + offset);
  new DataView(out.buffer).setBigUint64(0, BigInt(head.length), true);
  out.set(head, 8);
  let at = 8 + head.length;
  for (const [, data] of Object.values(arrays)) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return out.buffer;
}

export interface Asked {
  route: string;
  query: URLSearchParams;
  signal: AbortSignal | undefined;
}

/** Replaces the network: `answer` says what the server says; every request is noted. */
export function serve(answer: (asked: Asked) => Response | Promise<Response>): Asked[] {
  const all: Asked[] = [];
  vi.stubGlobal("fetch", (url: string, options?: RequestInit): Promise<Response> => {
    const [path = "", query = ""] = url.split("?");
    const asked = {
      route: path.replace("./", ""),
      query: new URLSearchParams(query),
      signal: options?.signal ?? undefined,
    };
    all.push(asked);
    return new Promise((resolve, reject) => {
      asked.signal?.addEventListener("abort", () => reject(new DOMException("given up", "AbortError")));
      void Promise.resolve(answer(asked)).then(resolve, reject);
    });
  });
  return all;
}

export const json = (value: unknown): Response => new Response(JSON.stringify(value));

/** Lets everything that is due happen. */
export async function settle(turns = 8): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
}

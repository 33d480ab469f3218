/** Things that can be made again, kept as long as they are among the last so many bytes that were used. */
export class Latest<T> {
  readonly #kept = new Map<object, { readonly made: T; readonly bytes: number }>();
  #bytes = 0;

  constructor(readonly limit: number) {}

  get(key: object): T | undefined {
    const found = this.#kept.get(key);
    if (!found) return undefined;
    this.#kept.delete(key);
    this.#kept.set(key, found);
    return found.made;
  }

  keep(key: object, made: T, bytes: number): T {
    this.#drop(key);
    this.#kept.set(key, { made, bytes });
    this.#bytes += bytes;
    for (const old of this.#kept.keys()) {
      if (this.#bytes <= this.limit || old === key) break;
      this.#drop(old);
    }
    return made;
  }

  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }

  #drop(key: object): void {
    this.#bytes -= this.#kept.get(key)?.bytes ?? 0;
    this.#kept.delete(key);
  }
}

/** The page's part of the address: `#xai&p.xai.view=maps&p.xai.step=3`; other keys belong to others and are kept. */

const PREFIX = "p.xai.";

const parts = (hash: string): string[] => hash.replace(/^#/, "").split("&").filter(Boolean);

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Our keys in a hash, decoded. */
export function readLink(hash: string): Map<string, string> {
  const link = new Map<string, string>();
  for (const part of parts(hash)) {
    const [key = "", ...rest] = part.split("=");
    const name = decode(key);
    if (name.startsWith(PREFIX)) link.set(name.slice(PREFIX.length), decode(rest.join("=")));
  }
  return link;
}

/** The hash with our keys replaced by `link` and everything else as it was. */
export function writeLink(hash: string, link: ReadonlyMap<string, string>): string {
  const foreign = parts(hash).filter((part) => !decode(part.split("=")[0] ?? "").startsWith(PREFIX));
  const own = [...link].map(([key, value]) => `${encodeURIComponent(PREFIX + key)}=${encodeURIComponent(value)}`);
  return `#${[...foreign, ...own].join("&")}`;
}

/** The hash without what is not ours. */
export const ourPart = (hash: string): string => writeLink("", readLink(hash));

const STORE = "tb_xai";

/** What this browser remembers. */
export function recall(): Map<string, string> {
  try {
    return new Map(Object.entries(JSON.parse(localStorage.getItem(STORE) ?? "{}") as Record<string, string>));
  } catch {
    return new Map();
  }
}

export function keep(settings: ReadonlyMap<string, string>): void {
  try {
    localStorage.setItem(STORE, JSON.stringify(Object.fromEntries(settings)));
  } catch {
    /* a browser without storage forgets */
  }
}

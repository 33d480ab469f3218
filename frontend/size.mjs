// The page's budget, minified: what is loaded to show Maps at most 100 KB, everything together at most 160 KB.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const folder = new URL("node_modules/.size/", import.meta.url);
const sizes = new Map();
for (const name of readdirSync(folder)) {
  const bytes = readFileSync(new URL(name, folder));
  sizes.set(name, bytes.length);
  console.log(`${name.padEnd(12)} ${bytes.length} bytes, ${gzipSync(bytes).length} gzip`);
}
const maps = ["index.js", "maps.js", "figures.js", "index.css"];
for (const [what, names, limit] of [
  ["Maps", maps, 100_000],
  ["everything", [...sizes.keys()], 160_000],
]) {
  const total = names.reduce((sum, name) => sum + sizes.get(name), 0);
  console.log(`${what.padEnd(12)} ${total} of ${limit} bytes`);
  if (!(total <= limit)) {
    console.error(`${what} must stay below ${limit} bytes (${names.join(" + ")}). Received: ${total}`);
    process.exitCode = 1;
  }
}

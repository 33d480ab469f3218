// The page's budget: at most 100 KB of minified JavaScript and CSS together.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT = 100_000;
const folder = new URL("node_modules/.size/", import.meta.url);
let total = 0;
for (const name of readdirSync(folder)) {
  const bytes = readFileSync(new URL(name, folder));
  total += bytes.length;
  console.log(`${name.padEnd(12)} ${bytes.length} bytes, ${gzipSync(bytes).length} gzip`);
}
if (total > LIMIT) {
  console.error(`The bundle must stay below ${LIMIT} bytes. Received: ${total}`);
  process.exit(1);
}
console.log(`total        ${total} of ${LIMIT} bytes`);

// The page's budget, minified: what a view needs to be shown, and everything together.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

// Maps is what most people open: its first maps come with at most 100 KiB. Every other view, with all it imports before it
// is drawn, at most 130 KB; and a screen on which everything was opened (panels, dialogs, export, help) keeps the promise of
// 160 KB. Everything together is a ratchet: what it is, rounded up.
const LIMITS = { maps: 102_400, view: 130_000, screen: 160_000, everything: 324_000 };
const VIEWS = ["overview", "maps", "features", "quality", "health", "text"];

const folder = new URL("node_modules/.size/", import.meta.url);
const files = new Map(readdirSync(folder).map((name) => [name, readFileSync(new URL(name, folder))]));
for (const [name, bytes] of files)
  console.log(`${name.padEnd(12)} ${bytes.length} bytes, ${gzipSync(bytes).length} gzip`);

/** A file and all that it imports before it runs. */
function needed(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const [, other] of files
    .get(name)
    .toString()
    .matchAll(/(?:from|import)\s*["'`]\.\/([\w.]+)["'`]/g))
    needed(other, found);
  return found;
}

/** A view with all that can be opened in it; the shell's other lazy files are views. */
function screen(view) {
  const found = needed("index.js", needed(`${view}.js`));
  for (const name of ["export.js", "extras.js"]) needed(name, found);
  for (const name of [...found])
    if (name !== "index.js")
      for (const [, other] of files
        .get(name)
        .toString()
        .matchAll(/import\(["'`]\.\/([\w.]+)["'`]\)/g))
        needed(other, found);
  return [...found];
}

const budget = [
  ...VIEWS.map((view) => [view, [...needed("index.js", needed(`${view}.js`))], LIMITS[view] ?? LIMITS.view]),
  ...VIEWS.map((view) => [`${view}, all`, screen(view), LIMITS.screen]),
  ["everything", [...files.keys()], LIMITS.everything],
];
for (const [what, names, limit] of budget) {
  const total = names.reduce((sum, name) => sum + files.get(name).length, 0);
  console.log(`${what.padEnd(12)} ${total} of ${limit} bytes`);
  if (!(total <= limit)) {
    console.error(`${what} must stay below ${limit} bytes (${names.join(" + ")}). Received: ${total}`);
    process.exitCode = 1;
  }
}

import { readFileSync } from "node:fs";
import { defineConfig } from "vitest/config";

// TensorBoard loads /static/index.js; it loads a view's code when the view is first shown. File names are fixed because
// the plugin serves a fixed table. Vite's library mode would leave a third more bytes.
export default defineConfig({
  // nothing is preloaded: import() needs no helper around it
  plugins: [
    {
      name: "plain-import",
      enforce: "pre",
      load: (id) => (id.includes("vite/preload-helper") ? "export const __vitePreload = (load) => load();" : null),
    },
    {
      // a file that the plugin does not serve would be a page that does not open
      name: "served-files",
      generateBundle(_, bundle) {
        const plugin = readFileSync(new URL("../tb_xai/plugin.py", import.meta.url), "utf8");
        const table = /STATIC_FILES = \(([^)]*)\)/.exec(plugin)?.[1] ?? "";
        const served = [...table.matchAll(/"([^"]+)"/g)].map(([, name]) => name ?? "");
        const built = Object.keys(bundle);
        const wrong = [
          ...built.filter((one) => !served.includes(one)),
          ...served.filter((one) => !built.includes(one)),
        ];
        if (wrong.length)
          this.error(`Built files must be those of STATIC_FILES in tb_xai/plugin.py. Received: ${wrong.join(", ")}`);
      },
    },
  ],
  base: "./",
  publicDir: false,
  // h(type, props, ...children) is shorter by the word "children" for every element of the page
  oxc: {
    jsx: { runtime: "classic", pragma: "_h", pragmaFrag: "_F" },
    jsxInject: 'import { h as _h, Fragment as _F } from "preact";',
  },
  build: {
    outDir: "../tb_xai/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: "src/index.ts",
      // views import what they share from index.js itself
      preserveEntrySignatures: "allow-extension",
      output: {
        entryFileNames: "index.js",
        chunkFileNames: ({ facadeModuleId, name }) => `${facadeModuleId?.split("/").at(-2) ?? name}.js`,
        codeSplitting: {
          // what some of the views share, and the shell does not
          includeDependenciesRecursively: false,
          groups: [
            {
              name: "core",
              test: /node_modules|rolldown\/runtime|src\/(api|async|axis|csv|groups|host|lazy|popover|safetensors|state|step_bar|steps|style|url)\.tsx?$/,
            },
            { name: "figures", test: /src\/(colour|colour_tables|figures)\.ts$/ },
            { name: "pieces", test: /src\/(overview\/go|spark|lines|maps\/words)\.(tsx?|css)/ },
            {
              name: "painting",
              test: /src\/maps\/(cell|choice|columns|difference|latest|legend|paint|pictures|rows|screen|series_paint|settings|sources|store)\.tsx?$/,
            },
            { name: "charts", test: /src\/(heat|features\/(axis|chart|labels|lines|matrix|paint))\.tsx?$/ },
            { name: "series", test: /src\/(spread|features\/(load|series|rank|words))\.ts$/ },
          ],
        },
      },
    },
  },
  test: {
    environment: "happy-dom",
    include: ["tests/**/*.test.{ts,tsx}"],
    restoreMocks: true,
  },
});

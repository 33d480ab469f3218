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
              test: /node_modules|rolldown\/runtime|src\/(api|async|axis|groups|host|lazy|popover|safetensors|state|steps|style|url)\.tsx?$/,
            },
            { name: "figures", test: /src\/(colour|colour_tables|figures)\.ts$/ },
            { name: "pieces", test: /src\/(overview\/go|spark|lines|maps\/words)\.(tsx?|css)/ },
            {
              name: "painting",
              test: /src\/maps\/(cell|choice|columns|difference|legend|paint|pictures|rows|screen|series_paint|settings|sources|store)\.tsx?$/,
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

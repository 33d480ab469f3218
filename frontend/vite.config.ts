import { defineConfig } from "vitest/config";

// TensorBoard loads /static/index.js; it loads a view's code when the view is first shown. File names are fixed because
// the plugin serves a fixed table. Vite's library mode would leave a third more bytes.
export default defineConfig({
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
              test: /node_modules|rolldown\/runtime|src\/(api|features\/axis|groups|host|safetensors|state|steps|style|url)\.ts$/,
            },
            { name: "figures", test: /src\/(colour|colour_tables|figures|overview\/go|spark)\.tsx?$/ },
            {
              name: "painting",
              test: /src\/maps\/(cell|choice|columns|difference|legend|paint|pictures|rows|screen|series_paint|settings|sources|store|words)\.tsx?$/,
            },
            { name: "charts", test: /src\/(heat|features\/(chart|labels|lines|matrix|paint))\.tsx?$/ },
            { name: "series", test: /src\/features\/(load|series|rank|words)\.ts$/ },
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

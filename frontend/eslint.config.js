import js from "@eslint/js";
import a11y from "eslint-plugin-jsx-a11y";
import ts from "typescript-eslint";

export default ts.config(
  { ignores: ["node_modules", "dist"] },
  js.configs.recommended,
  ...ts.configs.strict,
  {
    files: ["**/*.{ts,tsx}"],
    plugins: { "jsx-a11y": a11y },
    rules: {
      ...a11y.flatConfigs.strict.rules,
      "max-lines": ["error", { max: 300, skipBlankLines: false, skipComments: false }],
      "no-restricted-globals": ["error", "eval", "event"],
      "no-eval": "error",
      "@typescript-eslint/consistent-type-imports": "error",
    },
  },
  {
    files: ["*.mjs", "*.js"],
    languageOptions: { globals: { console: "readonly", process: "readonly", URL: "readonly" } },
  },
);

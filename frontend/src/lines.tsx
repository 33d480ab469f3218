/** Lines of code to copy. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { adopt } from "./style";
import css from "./lines.css?inline";

adopt(css);

export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function Lines({ code }: { code: string }): JSX.Element {
  const [said, say] = useState("");
  return (
    <div class="lines">
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- a region that scrolls must take the keyboard */}
      <pre tabIndex={0} role="region" aria-label="Lines to add">
        <code>{code}</code>
      </pre>
      <button
        type="button"
        onClick={() => void copy(code).then((done) => say(done ? "Copied" : "Select and copy by hand"))}
      >
        Copy
      </button>
      <span role="status" class="dim">
        {said}
      </span>
    </div>
  );
}

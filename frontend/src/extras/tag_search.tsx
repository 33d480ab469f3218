import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { showTag, tag, tags } from "../state";

const SHOWN = 200;

/** Hundreds of tags: their names are searched by words. */
export function TagSearch(): JSX.Element {
  const [wanted, want] = useState("");
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const found = tags.value.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)));
  return (
    <>
      <input
        type="search"
        aria-label="Search methods"
        placeholder="Search methods"
        value={wanted}
        onInput={(event) => want(event.currentTarget.value)}
      />
      <div class="list">
        {found.slice(0, SHOWN).map(({ name }) => (
          <label key={name} title={name}>
            <input type="radio" name="tag" checked={name === tag.value?.name} onChange={() => showTag(name)} />
            <span class="name">{name}</span>
          </label>
        ))}
      </div>
      <p class="dim" role="status">
        {found.length > SHOWN
          ? `${found.length - SHOWN} more: search for words of the name`
          : `${found.length} of ${tags.value.length} methods`}
      </p>
    </>
  );
}

import type { JSX } from "preact";
import { Extra } from "./extra";
import { Popover } from "./popover";
import { showTag, tag, tags } from "./state";

/** Above this many a list is searched instead of read. */
const LONG = 30;

/** Chooses what is drawn of the run. */
export function TagPicker(): JSX.Element | null {
  if (!tag.value) return null;
  if (tags.value.length > LONG)
    return (
      <Popover
        name="Methods"
        face={
          <>
            <span class="dim">Method</span>
            <span class="name">{tag.value.name}</span>
          </>
        }
      >
        {() => <Extra what="the search">{({ TagSearch }) => <TagSearch />}</Extra>}
      </Popover>
    );
  return (
    <label class="pick">
      <span>Method</span>
      <select value={tag.value.name} onChange={(event) => showTag(event.currentTarget.value)}>
        {tags.value.map((one) => (
          <option key={one.name} value={one.name}>
            {one.name}
          </option>
        ))}
      </select>
    </label>
  );
}

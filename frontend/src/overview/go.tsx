import type { ComponentChildren, JSX } from "preact";
import { addressWith, readHash } from "../host";
import { applyLink, linkWith } from "../state";
import { writeLink } from "../url";

/** A link to another screen of this page: a click goes there, and it can be opened in a tab of its own. */
export function Go({
  to,
  class: kind,
  children,
}: {
  to: Readonly<Record<string, string>>;
  class?: string;
  children: ComponentChildren;
}): JSX.Element {
  const link = linkWith(to);
  const follow = (event: MouseEvent): void => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    applyLink(linkWith(to));
  };
  return (
    <a href={addressWith(writeLink(readHash(), link))} target="_top" class={kind} onClick={follow}>
      {children}
    </a>
  );
}

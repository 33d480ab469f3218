import { useEffect } from "preact/hooks";
import { step } from "../../state";
import { minus } from "../settings";

/** "d" compares with the step of the cursor, and stops. */
export function DifferenceKey(): null {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      const busy = event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey;
      const field =
        event.target instanceof Element && event.target.closest("dialog, select, textarea, input:not([type=range])");
      if (event.key.toLowerCase() !== "d" || busy || field) return;
      minus.value = minus.value === "" && step.value !== null ? `step ${step.value}` : "";
      event.preventDefault();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
  return null;
}

/** All measures, small: each a chart that becomes the large one when it is chosen. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Theme } from "../features/paint";
import { step } from "../state";
import type { Picture } from "./draw";
import { GOOD_WORDS, SECTIONS, type Against, type Measure } from "./measures";
import { chosen } from "./model";
import { Plot } from "./plot";
import { summary } from "./words";

/** A measure with what is known of it. */
export interface Known {
  measure: Measure;
  picture: Picture;
  /** lines that have nothing, with the reason; "" where it was simply not logged */
  absent: readonly { label: string; reason: string }[];
  /** answers that are still to come */
  pending: number;
  /** why its lines have few points */
  note?: string;
}

/** Calls back once, when an element first comes near the screen. */
function useSeen(call: (() => void) | undefined): { current: HTMLElement | null } {
  const ref = useRef<HTMLElement>(null);
  useEffect(() => {
    if (!ref.current || !call) return;
    if (typeof IntersectionObserver === "undefined") return call();
    const observer = new IntersectionObserver((entries) => entries.some((one) => one.isIntersecting) && call(), {
      rootMargin: "200px",
    });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, [call !== undefined]);
  return ref;
}

/** Why lines are missing: the same reason once, for all that share it. */
export function Absent({ of }: { of: Known["absent"] }): JSX.Element | null {
  const reasons = new Map<string, string[]>();
  for (const { label, reason } of of) if (reason) reasons.set(reason, [...(reasons.get(reason) ?? []), label]);
  if (!reasons.size) return null;
  return (
    <ul class="ql-absent">
      {[...reasons].map(([reason, labels]) => (
        <li key={reason}>
          <b>{labels.join(", ")}:</b> {reason}
        </li>
      ))}
    </ul>
  );
}

/** What a measure says, what its dotted lines are, and why it may have few points. */
export function Says({ of: { measure, picture, note }, more }: { of: Known; more?: string }): JSX.Element {
  const dotted = measure.reference?.figure && picture.curves.some((one) => one.reference);
  return (
    <p class="dim">
      {measure.says}
      {dotted && <> Dotted: {measure.reference?.name}.</>}
      {more && <> {more}</>}
      {note && <> {note}</>}
    </p>
  );
}

export const Goodness = ({ measure }: { measure: Measure }): JSX.Element | null =>
  measure.good && <small class="ql-good">{GOOD_WORDS[measure.good]}</small>;

function Card({
  of,
  theme,
  on,
  see,
  children,
}: {
  of: Known;
  theme: Theme;
  on: boolean;
  see?: (() => void) | undefined;
  children?: ComponentChildren;
}): JSX.Element {
  const ref = useSeen(see);
  const { measure, picture, absent, pending } = of;
  return (
    <article class={`ql-card ${on ? "on" : ""}`} ref={ref as { current: HTMLElement }}>
      <header>
        <h3>
          <button
            type="button"
            aria-pressed={on}
            title="Show it large, with its values, the score and the examples"
            onClick={() => (chosen.value = measure.key)}
          >
            {measure.title}
          </button>
        </h3>
        <Goodness measure={measure} />
      </header>
      {picture.curves.length > 0 ? (
        <Plot picture={picture} theme={theme} label={summary(picture, step.value)} />
      ) : pending > 0 ? (
        <p class="ql-none" role="status">
          <span class="spinner" aria-hidden="true" /> Computing…
        </p>
      ) : (
        <div class="ql-none">
          {absent.length > 0 ? <Absent of={absent} /> : <p class="dim">Nothing to compare with yet.</p>}
        </div>
      )}
      <Says of={of} />
      {children}
    </article>
  );
}

/** Sections of cards; those that would be empty are left out, and named at the end with the way to get them. */
export function Cards({
  all,
  theme,
  current,
  see,
  by,
  pin,
  other,
}: {
  all: readonly Known[];
  theme: Theme;
  current: string;
  see: (against: Against) => void;
  /** what drift is measured by */
  by: ComponentChildren;
  /** chooses the pinned step */
  pin: ComponentChildren;
  /** chooses the other method */
  other: ComponentChildren;
}): JSX.Element {
  const silent = (one: Known): boolean =>
    !one.measure.drift && !one.picture.curves.length && one.absent.every(({ reason }) => !reason);
  const left = all.filter(silent);
  return (
    <div class="ql-sections">
      {(Object.keys(SECTIONS) as (keyof typeof SECTIONS)[]).map((section) => {
        const shown = all.filter((one) => one.measure.section === section && !silent(one));
        if (!shown.length) return null;
        return (
          <section key={section} class="ql-section" style={{ "--n": shown.length }} aria-label={SECTIONS[section]}>
            <h2>
              {SECTIONS[section]}
              {section === "drift" && by}
            </h2>
            <div class="ql-cards">
              {shown.map((one) => {
                const { drift } = one.measure;
                return (
                  <Card
                    key={one.measure.key}
                    of={one}
                    theme={theme}
                    on={one.measure.key === current}
                    see={drift && (() => see(drift))}
                  >
                    {drift === "pin" ? pin : drift === "other" ? other : null}
                  </Card>
                );
              })}
            </div>
          </section>
        );
      })}
      {left.length > 0 && (
        <p class="ql-left dim">
          Not logged for what is shown: {left.map((one) => one.measure.title.toLowerCase()).join(", ")}. The callbacks
          of attributions log them with <code>quality=True</code>; shares of places need <code>masks=</code>.
        </p>
      )}
    </div>
  );
}

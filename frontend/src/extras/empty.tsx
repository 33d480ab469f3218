import type { JSX } from "preact";
import { Lines } from "../lines";
import { index, run, showRun, showView, tagsOf, runs, type View } from "../state";

/** The views that need something logged. */
type Drawn = Exclude<View, "overview">;

const LINES: Record<Drawn, string> = {
  maps: `from tb_xai.callbacks import IntegratedGradientsCallback, SaliencyCallback

model.fit(x, y, epochs=20, callbacks=[
    SaliencyCallback("logs/run1", x_val[:16], y_val[:16]),
    IntegratedGradientsCallback("logs/run1", x_val[:16], y_val[:16]),
])`,
  features: `from tb_xai.callbacks import PermutationImportanceCallback

model.fit(x, y, epochs=20, callbacks=[
    PermutationImportanceCallback("logs/run1", x_val, y_val, feature_names=names),
])`,
  quality: `from tb_xai.callbacks import IntegratedGradientsCallback

model.fit(x, y, epochs=20, callbacks=[
    IntegratedGradientsCallback("logs/run1", x_val[:16], y_val[:16]),
])`,
  health: `from tb_xai.callbacks import ModelHealthCallback

model.fit(x, y, epochs=20, callbacks=[
    ModelHealthCallback("logs/run1", x_val[:64], y_val[:64]),
])`,
  text: `from tb_xai.callbacks import IntegratedGradientsCallback

model.fit(x, y, epochs=20, callbacks=[
    IntegratedGradientsCallback("logs/run1", ids_val[:16], y_val[:16], token_names=vocabulary),
])`,
};

const ALL = `from tb_xai.callbacks import (
    IntegratedGradientsCallback,
    PermutationImportanceCallback,
    SaliencyCallback,
)

model.fit(x, y, epochs=20, callbacks=[
    SaliencyCallback("logs/run1", x_val[:16], y_val[:16]),
    IntegratedGradientsCallback("logs/run1", x_val[:16], y_val[:16]),
    PermutationImportanceCallback("logs/run1", x_val, y_val),
    keras.callbacks.TensorBoard("logs/run1"),
])`;

export function EmptyPage(): JSX.Element {
  return (
    <section class="state empty">
      <h2>No explanations are logged yet</h2>
      <p>
        Add the callbacks to <code>model.fit</code> and give them TensorBoard’s log directory. The untrained model is
        logged before the first epoch; this page updates by itself a few seconds after each epoch.
      </p>
      <Lines code={ALL} />
    </section>
  );
}

const NAMES: Record<Drawn, string> = {
  maps: "maps",
  features: "feature importance",
  quality: "explanations to judge",
  health: "layer health",
  text: "explained words",
};

/** A view without anything to draw in this run: says where it is, or what to add. */
export function NothingHere({ which }: { which: Drawn }): JSX.Element {
  const elsewhere = runs.value.filter((one) => tagsOf(which, one).length).slice(0, 5);
  const views = (Object.keys(NAMES) as Drawn[]).filter((other) => tagsOf(other, run.value).length);
  return (
    <section class="state empty">
      <h2>
        {run.value ? (
          <>
            Run “{run.value.name}” has no {NAMES[which]}
          </>
        ) : (
          <>There are no {NAMES[which]}</>
        )}
      </h2>
      {elsewhere.length > 0 && (
        <p>
          Runs that have:{" "}
          {elsewhere.map((one) => (
            <button type="button" key={one.name} onClick={() => showRun(one.name)}>
              {one.name}
            </button>
          ))}
        </p>
      )}
      {views.map((other) => (
        <p key={other}>
          This run has {NAMES[other]}:{" "}
          <button type="button" onClick={() => showView(other)}>
            show them
          </button>
        </p>
      ))}
      <p>To log {NAMES[which]}, add:</p>
      <Lines code={LINES[which]} />
    </section>
  );
}

export function SkippedNotice(): JSX.Element | null {
  const skipped = index.value?.skipped ?? [];
  if (!skipped.length) return null;
  return (
    <details class="notice">
      <summary>{skipped.length === 1 ? "One tag is" : `${skipped.length} tags are`} logged but not shown</summary>
      <ul>
        {skipped.map(({ run: name, tag, reason }) => (
          <li key={`${name}/${tag}`}>
            <b>{name}</b>, {tag}: {reason}
          </li>
        ))}
      </ul>
    </details>
  );
}

/** The insides of the panels above the maps, loaded after the maps are there. */
import type { JSX } from "preact";
import { PLAIN_MAPS, SIGNED_MAPS } from "../../colour";
import { step } from "../../state";
import { Choice, same, type Options } from "../choice";
import * as settings from "../settings";
import type { ToolbarProps } from "../toolbar";

export { exportOf } from "./exports";
export { MissingNotice } from "./missing";
export { Rows } from "./rows_panel";

export function Columns({ peers, runs }: ToolbarProps): JSX.Element {
  const options: [typeof settings.by.value, string][] = [["steps", "steps"]];
  if (peers > 1 || settings.by.value === "methods") options.push(["methods", `methods at this step (${peers})`]);
  if (runs.length > 1 || settings.by.value === "runs") options.push(["runs", "shown runs at this step"]);
  const now = `step ${step.value ?? 0}`;
  const away: [string, string][] = [
    ["", "nothing (the maps)"],
    [now, `this step (${now})`],
    ...(settings.minus.value.startsWith("step ") && settings.minus.value !== now
      ? [[settings.minus.value, settings.minus.value] as [string, string]]
      : []),
    ...(runs.length > 1 || settings.minus.value.startsWith("run ")
      ? [
          ...new Set([
            ...runs.map((name) => `run ${name}`),
            ...(settings.minus.value.startsWith("run ") ? [settings.minus.value] : []),
          ]),
        ].map((one) => [one, one] as [string, string])
      : []),
  ];
  return (
    <div class="choices">
      <Choice name="Columns" of={settings.by} options={options} />
      <Choice name="Difference to" of={settings.minus} options={away} />
      {settings.by.value === "steps" && (
        <Choice
          name="Show"
          of={settings.columns}
          options={[
            ["fit", "as many steps as fit"],
            ["all", "every step"],
          ]}
        />
      )}
      <Choice name="Size" of={settings.cellSize} options={same(["small", "medium", "large"])} />
    </div>
  );
}

function Mix(): JSX.Element {
  return (
    <label class="pick">
      <span>Picture to map</span>
      <input
        type="range"
        min={0}
        max={100}
        step={5}
        value={settings.mix.value}
        aria-valuetext={
          settings.mix.value === "0"
            ? "picture alone"
            : settings.mix.value === "100"
              ? "map alone"
              : `${settings.mix.value} %`
        }
        onInput={(event) => (settings.mix.value = event.currentTarget.value)}
      />
    </label>
  );
}

export function Display({ image, signed, plain, hasSigns }: ToolbarProps): JSX.Element {
  const auto = settings.looks.value[signed ? "signed" : "plain"].picture;
  const pictures: Options<typeof settings.picture.value> = settings.PICTURES.map((one) => [
    one,
    one === "auto" ? `auto (${settings.picture.value === "auto" ? auto : signed ? "none" : "grey"})` : one,
  ]);
  return (
    <div class="choices">
      {hasSigns && <Choice name="Values" of={settings.values} options={same(["signed", "magnitude"])} />}
      {settings.minus.value ? (
        <Choice name="Colours" of={settings.differenceMap} options={same(SIGNED_MAPS)} />
      ) : (
        <>
          {signed && <Choice name="Colours" of={settings.signedMap} options={same(SIGNED_MAPS)} />}
          {plain && (
            <Choice name={signed ? "Without signs" : "Colours"} of={settings.plainMap} options={same(PLAIN_MAPS)} />
          )}
        </>
      )}
      <Choice
        name="Scale covers"
        of={settings.clip}
        options={settings.CLIPS.map((one) => [one, one === "100" ? "all values" : `${one} % of values`])}
      />
      {image && <Choice name="Picture" of={settings.picture} options={pictures} />}
      {image && auto !== "none" && <Mix />}
      {image && (
        <Choice
          name="Between pixels"
          of={settings.smooth}
          options={[
            ["on", "smooth"],
            ["off", "sharp"],
          ]}
        />
      )}
    </div>
  );
}

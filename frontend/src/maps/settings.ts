/** How maps are drawn: remembered and part of the link. What is shown: part of the link only. */
import { computed } from "@preact/signals";
import { PLAIN_MAPS, SIGNED_MAPS } from "../colour";
import { table } from "../colour_tables";
import { field, mapsBy, setting } from "../state";
import type { Look } from "./paint";

export const values = setting<"signed" | "magnitude">("maps.values", "signed", ["signed", "magnitude"]);
export const signedMap = setting("maps.signed_map", "RdBu_r", SIGNED_MAPS);
export const plainMap = setting("maps.plain_map", "viridis", PLAIN_MAPS);
export const differenceMap = setting("maps.difference_map", "PuOr_r", SIGNED_MAPS);
export const scale = setting<"map" | "example" | "shared">("maps.scale", "map", ["map", "example", "shared"]);
/** Per cent of a map's values that the scale covers. */
export const CLIPS = ["100", "99.5", "99", "95", "90"] as const;
export const clip = setting("maps.clip", "100", CLIPS);
export const smooth = setting<"on" | "off">("maps.smooth", "on", ["on", "off"]);
export const PICTURES = ["auto", "none", "grey", "colour"] as const;
export const picture = setting("maps.picture", "auto", PICTURES);
/** Per cent from the picture alone to the map alone. */
export const mix = setting<string>("maps.mix", "50", (text) => /^\d{1,3}$/.test(text) && Number(text) <= 100);
export const columns = setting<"fit" | "all">("maps.columns", "fit", ["fit", "all"]);
export const cellSize = setting<"small" | "medium" | "large">("maps.size", "medium", ["small", "medium", "large"]);

/** What stands side by side. */
export const by = mapsBy;
/** What every map is compared with: nothing, "step 5" or "run name". */
export const minus = field<string>("maps.minus", "", (text) => text === "" || /^(step -?\d+$|run )/.test(text));
/** Which input of a model with several. */
export const input = field<string>("maps.input", "");
/** The example whose large map is open, the place that is read there, and how its channels are shown. */
export const inspected = field<string>("maps.inspect", "", (text) => text === "" || /^\d+$/.test(text));
export const place = field<string>("maps.place", "", (text) => text === "" || /^\d+,\d+$/.test(text));
export const channels = field<"folded" | "each">("maps.channels", "folded", ["folded", "each"]);

/** Which examples, in which order. */
export const sort = field<string>("maps.sort", "");
export const reverse = field<"" | "yes">("maps.reverse", "", ["", "yes"]);
export const label = field<string>("maps.label", "");
export const said = field<string>("maps.said", "");
export const ONLY = ["all", "wrong", "right", "flips", "flips until"] as const;
export const only = field("maps.only", "all", ONLY);
export const names = field<string>("maps.names", "");

export const CELL = { small: 76, medium: 120, large: 184 } as const;

/** Whether the signs of a method's values are on screen: a method without signs has none to show. */
export const showsSigns = (of: { signed?: boolean } | null): boolean =>
  of?.signed !== false && values.value === "signed";

export interface Looks {
  readonly signed: Look;
  readonly plain: Look;
  readonly difference: Look;
}

/** One look for each kind of map; the same objects as long as no choice changes. */
export const looks = computed<Looks>(() => {
  const choice = picture.value;
  const common = { smooth: smooth.value === "on", mix: Number(mix.value) / 100 };
  const under = choice === "auto" ? "none" : choice;
  return {
    signed: { ...common, table: table(signedMap.value), signed: true, picture: under },
    plain: { ...common, table: table(plainMap.value), signed: false, picture: choice === "auto" ? "grey" : choice },
    difference: { ...common, table: table(differenceMap.value), signed: true, picture: under },
  };
});

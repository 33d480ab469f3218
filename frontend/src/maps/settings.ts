/** How maps are drawn: remembered and part of the link. */
import { computed } from "@preact/signals";
import { PLAIN_MAPS, SIGNED_MAPS } from "../colour";
import { table } from "../colour_tables";
import { field, setting, tag } from "../state";
import type { Look } from "./paint";

export const values = setting<"signed" | "magnitude">("maps.values", "signed", ["signed", "magnitude"]);
export const signedMap = setting("maps.signed_map", "RdBu_r", SIGNED_MAPS);
export const plainMap = setting("maps.plain_map", "viridis", PLAIN_MAPS);
export const scale = setting<"map" | "example" | "shared">("maps.scale", "map", ["map", "example", "shared"]);
export const smooth = setting<"on" | "off">("maps.smooth", "on", ["on", "off"]);
export const picture = setting<"auto" | "none" | "grey">("maps.picture", "auto", ["auto", "none", "grey"]);
export const columns = setting<"fit" | "all">("maps.columns", "fit", ["fit", "all"]);
export const cellSize = setting<"small" | "medium" | "large">("maps.size", "medium", ["small", "medium", "large"]);
/** Which input of a model with several. */
export const input = field<string>("maps.input", "");
/** The example whose large map is open. */
export const inspected = field<string>("maps.inspect", "", (text) => text === "" || /^\d+$/.test(text));

export const CELL = { small: 76, medium: 120, large: 184 } as const;

/** Whether signs are on screen: a method without signs has none to show. */
export const signed = computed(() => tag.value?.signed !== false && values.value === "signed");

export const look = computed<Look>(() => ({
  table: table(signed.value ? signedMap.value : plainMap.value),
  signed: signed.value,
  smooth: smooth.value === "on",
  picture: picture.value === "auto" ? !signed.value : picture.value === "grey",
}));

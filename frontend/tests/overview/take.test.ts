import { describe, expect, it } from "vitest";
import type { Told } from "../../src/overview/findings";
import { taken } from "../../src/overview/take";

describe("what is taken along", () => {
  const one: Told = {
    rule: "leak",
    severity: "warning",
    first_step: 2,
    last_step: 5,
    tag: "importance",
    tags: ["importance", "shap"],
    text: "'id' alone, \"as it is\", carries all",
    try_next: "Leave it out",
    evidence: { share: 0.9 },
    view: "features",
  };

  it("is a line a finding; runs that are not judged yet are left out", () => {
    const { csv, json } = taken(["a", "b", "late"], { a: [one], b: [] });
    expect(csv()).toBe(
      'run,severity,rule,tags,first_step,last_step,text,try_next\na,warning,leak,importance shap,2,5,"\'id\' alone, ""as it is"", carries all",Leave it out\n',
    );
    expect(json()).toEqual({ a: [one], b: [] });
  });
});

"""The building blocks of the benchmark on tiny work, and the table of methods; no times."""

from __future__ import annotations

import ast
import importlib
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

from benchmarks import methods, methods_table
from benchmarks.cases import MODELS, Case, Passes, cases, raw_passes
from tb_xai.gradients import integrated_gradients

ROOT = Path(methods.__file__).resolve().parent.parent
TINY = Case(
    "mlp",
    "integrated_gradients",
    4,
    lambda times: integrated_gradients(2 * times, tolerance=np.inf),
    [Passes("gradient", 2 * 4, 8), Passes("forward", 4, 4)],
)


def public_methods(module: str) -> list[str]:
    """Public functions of a module that explain: they return a binder, or an importance."""
    tree = ast.parse((ROOT / "tb_xai" / f"{module}.py").read_text())
    return [
        f"{module}.{node.name}"
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and isinstance(node.returns, ast.Name)
        and node.returns.id in ("Binder", "Importance")
    ]


def test_a_case_is_measured():
    found = methods.measure(TINY, rounds=3)
    assert found["traces"] == 1
    assert found["late_calls"] == 0
    assert found["raw"] > 0
    assert found["method"] > 0
    assert found["ratio"] == sorted(found["ratio"])
    assert min(found["memory"]) > 0
    assert np.diff(found["memory"]).min() > -16  # MiB; threads report pages late
    assert len(methods.row(TINY, found)) == len(methods.HEAD)


def test_a_method_that_is_traced_again_is_found():
    class Forgetful:
        """Binds anew at every call."""

        def __call__(self, model):
            self.calls = 0

            def explain(x, y):
                self.calls += 1
                return integrated_gradients(2)(model)(x, y)

            explain.traces = lambda: self.calls
            return explain

    case = Case("mlp", "forgetful", 4, lambda times: Forgetful(), TINY.raw)
    found = methods.traces(case, MODELS["mlp"].build(), updates=2)
    assert found["traces"] == 2
    assert found["late_calls"] > 0


@pytest.mark.parametrize("rows", [3, 8, 11])
def test_raw_passes_are_as_many_as_asked_for(rows):
    counting = methods_table.Counting()
    model = methods_table.small_model(counting, image=True)
    x, y = methods_table.IMAGES, methods_table.LABELS
    run = raw_passes(model, x, y, [Passes("gradient", rows, 4), Passes("forward", 5, 4)], None)
    counting.passes()
    run()
    assert counting.passes() == (5, rows)
    run = raw_passes(model, x, y, [Passes("layer", rows, 4)], "conv")
    counting.passes()
    run()
    assert counting.passes() == (0, rows)


def test_cases_differ_and_have_models():
    keys = [case.key for case in cases()]
    assert len(set(keys)) == len(keys)
    assert {case.model for case in cases()} == set(MODELS)


@pytest.mark.parametrize("module", ["gradients", "cam", "perturbation", "importance"])
def test_the_table_of_methods_names_all(module):
    public = public_methods(module)
    assert len(public) >= 4
    text = (ROOT / "docs" / "methods.md").read_text()
    rows = {f"{m.function.__module__.rsplit('.', 1)[-1]}.{m.name}" for m in methods_table.METHODS}
    for name in public:
        assert f"`{name}`" in text, name
        assert name in rows, name
        assert callable(getattr(importlib.import_module(f"tb_xai.{module}"), name.split(".")[1]))


@pytest.mark.parametrize("name", ["saliency", "occlusion", "permutation_importance"])
def test_passes_in_the_table_are_counted(name):
    method = next(m for m in methods_table.METHODS if m.name == name)
    told = methods_table.cost(method)
    assert told in (ROOT / "docs" / "methods.md").read_text()


def test_a_wrong_formula_is_refused():
    method = next(m for m in methods_table.METHODS if m.name == "saliency")
    wrong = methods_table.Method(
        method.function, "", "", "", method.bind, forward="n", gradient="n"
    )
    with pytest.raises(ValueError, match=r"must give what was counted, \(0, 3\)"):
        methods_table.cost(wrong)


def test_every_paper_is_linked():
    for method in methods_table.METHODS:
        if "http" in (method.function.__doc__ or ""):
            assert "](http" in methods_table.papers(method), method.name

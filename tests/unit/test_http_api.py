"""The document of the HTTP contract, replayed: every request in it is sent, every answer compared.

In the document `…` stands for any text, `"any"` for any value, `{revision}` and
`{probe of run/tag}` for what the index says, and safetensors answers are written as their
`answer` and the dtype and shape of their tensors.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from tb_xai import plugin
from tests.unit.test_plugin import make_plugin

DOCUMENT = Path(plugin.__file__).with_name("http_api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```http\nGET \./(\S+[^\n]*)\n```\n```json\n(.*?)\n```", DOCUMENT, re.DOTALL)


def matches(said: Any, found: Any, where: str) -> None:
    if said in ("any", "…"):
        return
    assert type(said) is type(found), f"{where}: {found!r} is not like {said!r}"
    if isinstance(said, dict):
        assert set(said) == set(found), where
        for key in said:
            matches(said[key], found[key], f"{where}.{key}")
    elif isinstance(said, list):
        assert len(said) == len(found), where
        for i, (one, other) in enumerate(zip(said, found, strict=True)):
            matches(one, other, f"{where}[{i}]")
    elif isinstance(said, str) and said.endswith("…"):
        assert found.startswith(said[:-1]), where
    elif isinstance(said, float):
        assert found == pytest.approx(said), where
    else:
        assert found == said, where


def only_what_is_told(said: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The document's index shows one run and two of its tags."""
    runs = {run["name"]: run for run in said.get("runs", [])}
    shown = []
    for run in found.get("runs", []):
        if run["name"] in runs:
            names = {tag["name"] for tag in runs[run["name"]]["tags"]}
            shown.append({**run, "tags": [tag for tag in run["tags"] if tag["name"] in names]})
    return {**found, "runs": shown} if "runs" in found else found


def test_the_document_has_examples_of_every_data_route() -> None:
    shown = {request.split("?")[0] for request, _ in EXAMPLES}
    assert {"index", "attributions", "probe", "series", "drift"} == shown
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("example", EXAMPLES, ids=[request for request, _ in EXAMPLES])
def test_an_example_is_answered_as_the_document_says(
    example: tuple[str, str], synthetic_log: Path
) -> None:
    request, text = example
    said = json.loads(text)
    apps = make_plugin(synthetic_log).get_plugin_apps()
    index = json.loads(Client(apps["/index"]).get("/index").data)
    request = request.replace("{revision}", index["revision"])
    for run, tag in re.findall(r"\{probe of ([^/]+)/([^}]+)\}", request):
        tags = next(r["tags"] for r in index["runs"] if r["name"] == run)
        probe = next(t["probe"] for t in tags if t["name"] == tag)
        request = request.replace(f"{{probe of {run}/{tag}}}", probe)
    assert "{" not in request
    route = "/" + request.split("?")[0]
    response = Client(apps[route]).get("/" + request)
    assert response.status_code == 200
    if response.headers["Content-Type"] == "application/json":
        matches(said, only_what_is_told(said, json.loads(response.data)), route)
        return
    body = response.data
    length = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + length])
    answer = json.loads(header.pop("__metadata__")["answer"])
    tensors = {name: [tensor["dtype"], tensor["shape"]] for name, tensor in header.items()}
    matches(said, {"answer": answer, "tensors": tensors}, route)


def test_every_route_and_argument_is_in_the_document(synthetic_log: Path) -> None:
    for route in make_plugin(synthetic_log).get_plugin_apps():
        assert f"`GET .{route.split('*')[0].removesuffix('index.js')}" in DOCUMENT, route
    for argument in plugin._ARGUMENTS:
        assert f"{argument}=" in DOCUMENT or f"`{argument}`" in DOCUMENT, argument
    for file in plugin.STATIC_FILES:
        assert f"`{file}`" in DOCUMENT
    assert f"larger than {plugin.ANSWER_LIMIT // 2**20} MB" in DOCUMENT
    assert f"{plugin.SOURCE_LIMIT // 2**20} MB from disk" in DOCUMENT

"""The bill of materials names all that the image ships, and nothing else; each with a licence that is allowed."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from tests.services.fixtures import require_package

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    require_package("cyclonedx_py")
    specification = importlib.util.spec_from_file_location("sbom", ROOT / "docker" / "sbom.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def component(name: str, *expressions: str) -> dict[str, Any]:
    return {"name": name, "licenses": [{"expression": one} for one in expressions]}


@pytest.mark.parametrize(
    ("name", "expressions", "allowed"),
    [
        ("a", ["MIT"], True),
        ("a", ["GPL-3.0-only"], False),
        ("a", ["MIT OR GPL-3.0-only"], True),
        ("a", ["MIT AND GPL-3.0-only"], False),
        ("a", ["MPL-2.0 AND (Apache-2.0 OR MIT)"], True),
        ("a", ["LGPL-3.0-only"], False),
        ("psycopg", ["LGPL-3.0-only"], True),
        ("a", ["License :: OSI Approved :: BSD License", "BSD-3-Clause"], True),
        ("a", ["Proprietary, see (("], False),
        ("a", [], False),
        ("protobuf", [], True),
    ],
)
def test_what_may_be_shipped(sbom: ModuleType, name: str, expressions: list[str], allowed: bool) -> None:
    assert sbom.is_allowed(component(name, *expressions)) is allowed


def test_what_the_image_needs_is_what_pyproject_says(sbom: ModuleType) -> None:
    shipped = sbom.shipped_packages()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = {canonicalize_name(re.split(r"[>\[;=]", one)[0]) for one in project["dependencies"]}
    assert direct <= shipped
    assert {"confluent-kafka", "cryptography", "pyarrow", "psycopg", "opentelemetry-sdk"} <= shipped
    assert not shipped & {"pytest", "hypothesis", "mypy", "iotcore", "cyclonedx-bom", "ray"}


@pytest.mark.long
def test_every_package_is_listed_with_a_licence_that_is_allowed(sbom: ModuleType) -> None:
    document = sbom.make_sbom()
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "edgefleet")
    listed = {canonicalize_name(one["name"]): one for one in document["components"]}
    assert listed.keys() == sbom.shipped_packages() - {"edgefleet"}
    assert all(one["version"] and one["purl"].startswith("pkg:pypi/") for one in listed.values())
    assert [name for name, one in listed.items() if not sbom.is_allowed(one)] == []
    known = {one["bom-ref"] for one in listed.values()} | {document["metadata"]["component"]["bom-ref"]}
    for one in document["dependencies"]:
        assert {one["ref"], *one.get("dependsOn", ())} <= known

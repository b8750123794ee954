"""deploy/: every metric that a panel or a rule asks for is one that the bridge has, and the files are of their form."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.config import AdminConfig
from bridge.metrics import BridgeMetrics
from bridge.service import Bridge, build_components
from bridge.spool.store import SpoolStore
from edgewire.clock import SystemClock
from tests.bridge.fakes import scripted_broker
from tests.bridge.source.test_unhelpful_broker import config_for

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "bridge.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
OPERATING = (DEPLOY.parent / "docs" / "operating.md").read_text(encoding="utf-8")

EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]] + [rule["expr"] for rule in RULES]


def served() -> dict[str, set[str]]:
    """Every name in /metrics with its labels."""
    families = [
        family for metric in vars(BridgeMetrics()).values() if hasattr(metric, "describe") for family in [metric]
    ]
    names: dict[str, set[str]] = {}
    for metric in families:
        labels = set(metric._labelnames)
        (family,) = metric.describe()
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}[family.type]
        names.update({family.name + ending: labels for ending in endings})
    return names


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_exists_with_its_labels(expression: str) -> None:
    known = served()
    used = re.findall(r"edgefleet_bridge_\w+", expression)
    assert used or expression.startswith("up{")
    assert set(used) <= known.keys()
    labels = {label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")}
    assert labels <= {"instance", "le"}.union(*(known[name] for name in used))
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)
    assert expression.count('"') % 2 == 0


def test_every_metric_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    missing = [name for name in served() if not name.endswith(("_sum", "_count")) and name not in shown]
    assert missing == []


async def test_every_counter_of_a_bridge_that_just_started_is_there_with_0(tmp_path: Path) -> None:
    """Prometheus sees no increase of one that appears with 1, and the panel of one that is not there says "No data"."""
    async with scripted_broker() as broker:
        routes = [{"topic": "edge/#", "http": "/x", "validate": "warn"}]
        config = config_for(broker, tmp_path, routes=routes)
        table, sinks = build_components(config)
        bridge = Bridge(config, table, sinks, SpoolStore(config.spool.path, ["http"]), SystemClock())
        stop = asyncio.Event()
        running = asyncio.create_task(bridge.run(stop))
        await bridge.started.wait()
        registry = bridge.metrics.registry
        counters = [metric for metric in registry.collect() if metric.type == "counter"]
        opened = {"sink": "http", "destination": "/ingest/batch"}
        first = registry.get_sample_value("edgefleet_bridge_breaker_opened_total", opened)
        stop.set()
        await running
    assert [one.name for one in counters if not any(sample.name.endswith("_total") for sample in one.samples)] == []
    assert first == 0


def test_the_dashboard_is_whole() -> None:
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(identifiers) == len(set(identifiers))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        labels = {name for target in panel["targets"] for name in re.findall(r"{{(\w+)}}", target["legendFormat"])}
        assert all(label in " ".join([*map(str, served().values()), "instance"]) for label in labels)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_rules_have_the_form_of_prometheus_and_are_explained(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert rule["annotations"].keys() == {"summary"}
    assert f"`{rule['alert']}`" in OPERATING


def test_prometheus_looks_where_the_bridge_listens() -> None:
    settings = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8"))
    (job,) = settings["scrape_configs"]
    default = AdminConfig()
    assert job["static_configs"][0]["targets"] == [f"{default.host}:{default.port}"]
    assert all((DEPLOY / "prometheus" / name).exists() for name in settings["rule_files"])
    assert f'up{{job="{job["job_name"]}"}} == 0' in [rule["expr"] for rule in RULES]

"""Dashboards and alert rules: every metric that they ask for is one that is served, and the files are of their form."""

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from bridge.config import AdminConfig
from bridge.metrics import BridgeMetrics
from bridge.service import Bridge, build_components
from bridge.spool.store import SpoolStore
from devices.fleet.incidents import IncidentRecorder
from devices.fleet.metrics import FleetSnapshot, Gauges, KindGauges
from edgefleet.ingest.metrics import IngestMetrics
from edgefleet.launch.worker_status import WorkerState
from edgefleet.report.fleet_metrics import FleetCollector
from edgewire.clock import SystemClock
from tests.bridge.fakes import scripted_broker
from tests.bridge.source.test_unhelpful_broker import config_for
from tests.services.fixtures import unavailable

DEPLOY = Path(__file__).parents[2] / "deploy"
PARTS = ("bridge", "fleet", "ingest")
DASHBOARDS = {part: json.loads((DEPLOY / "grafana" / f"{part}.json").read_text(encoding="utf-8")) for part in PARTS}
PANELS = [
    (part, panel) for part, dashboard in DASHBOARDS.items() for panel in dashboard["panels"] if panel["type"] != "row"
]
SHOWN = [(part, target["expr"]) for part, panel in PANELS for target in panel["targets"]]
GROUPS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
RULES = [(group["name"].removeprefix("edgefleet-"), rule) for group in GROUPS for rule in group["rules"]]
OPERATING = (DEPLOY.parent / "docs" / "operating.md").read_text(encoding="utf-8")


def _bridge() -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for metric in (one for one in vars(BridgeMetrics()).values() if hasattr(one, "describe")):
        (family,) = metric.describe()
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}[family.type]
        names.update({family.name + ending: set(metric._labelnames) for ending in endings})
    return names


def _sampled(families: list[Metric]) -> dict[str, set[str]]:
    return {sample.name: set(sample.labels) - {"le"} for family in families for sample in family.samples}


def _fleet_families(snapshot: FleetSnapshot) -> list[Metric]:
    return list(FleetCollector(lambda: [(WorkerState.RUNNING, snapshot)]).collect())


def _ingest() -> dict[str, set[str]]:
    metrics = IngestMetrics()
    metrics.observe("/ingest/batch", 200, 0.01)
    families = list(text_string_to_metric_families(metrics.text().decode()))
    return {name: labels for name, labels in _sampled(families).items() if not name.endswith("_created")}


SERVED = {
    "bridge": _bridge(),
    "fleet": _sampled(_fleet_families(FleetSnapshot(kinds=KindGauges({"gps": Gauges()})))),
    "ingest": _ingest(),
}
"""Every name in /metrics with its labels."""


@pytest.mark.parametrize(("part", "expression"), [*SHOWN, *((part, rule["expr"]) for part, rule in RULES)])
def test_every_metric_exists_with_its_labels(part: str, expression: str) -> None:
    known = SERVED[part]
    used = re.findall(r"edgefleet_\w+", expression)
    assert used or expression.startswith("up{")
    assert set(used) <= known.keys()
    labels = {label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")}
    assert labels <= {"instance", "le"}.union(*(known[name] for name in used))


@pytest.mark.parametrize("part", PARTS)
def test_every_metric_is_on_the_dashboard(part: str) -> None:
    shown = " ".join(expression for of_part, expression in SHOWN if of_part == part)
    missing = [name for name in SERVED[part] if not name.endswith(("_sum", "_count")) and name not in shown]
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


def test_every_counter_of_a_fleet_and_an_ingest_that_just_started_is_there_with_0() -> None:
    ingest = list(text_string_to_metric_families(IngestMetrics().text().decode()))
    for family in _fleet_families(FleetSnapshot(kinds=KindGauges({"gps": Gauges(devices=3)}))) + ingest:
        if family.type == "counter":
            assert [sample.value for sample in family.samples if sample.name.endswith("_total")], family.name
            assert not any(sample.value for sample in family.samples if sample.name.endswith("_total")), family.name


def test_the_sum_of_what_happened_rises_with_a_reason_that_is_new() -> None:
    recorder = IncidentRecorder(lambda: 0.0)
    recorder.record_refused("gps", "quota exceeded (0x97)", 3)
    sums = next(
        family
        for family in _fleet_families(FleetSnapshot(incidents=recorder.incidents))
        if family.name == "edgefleet_incidents"
    )
    assert {sample.labels["incident"]: sample.value for sample in sums.samples}["refused"] == 3


@pytest.mark.parametrize("part", PARTS)
def test_a_dashboard_is_whole(part: str) -> None:
    dashboard = DASHBOARDS[part]
    identifiers = [panel["id"] for panel in dashboard["panels"]]
    assert len(identifiers) == len(set(identifiers))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    (of_instances,) = re.findall(
        r"label_values\((\w+), instance\)", dashboard["templating"]["list"][1]["query"]["query"]
    )
    assert of_instances in SERVED[part]


@pytest.mark.parametrize(("part", "panel"), PANELS, ids=lambda one: one["title"] if isinstance(one, dict) else one)
def test_a_panel_has_a_title_and_legends_of_labels_that_there_are(part: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    labels = {name for target in panel["targets"] for name in re.findall(r"{{(\w+)}}", target["legendFormat"])}
    assert labels <= {"instance"}.union(*SERVED[part].values())


@pytest.mark.parametrize("rule", [rule for _, rule in RULES], ids=lambda rule: rule["alert"])
def test_rules_have_the_form_of_prometheus_and_are_explained(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert rule["annotations"].keys() == {"summary"}
    assert f"`{rule['alert']}`" in OPERATING


def test_prometheus_takes_the_files() -> None:
    if (promtool := shutil.which("promtool")) is None:
        unavailable("promtool is not installed: `apt-get install prometheus`")
    found = subprocess.run(
        [promtool, "check", "config", DEPLOY / "prometheus" / "prometheus.yaml"], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"SUCCESS: {len(RULES)} rules found" in found.stdout


def test_prometheus_looks_where_the_parts_listen() -> None:
    settings = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8"))
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in settings["scrape_configs"]}
    admin = AdminConfig()
    assert targets == {
        "edgefleet-bridge": [f"{admin.host}:{admin.port}"],
        "edgefleet-fleet": ["127.0.0.1:9465"],
        "edgefleet-ingest": ["127.0.0.1:8000"],
    }
    assert all((DEPLOY / "prometheus" / name).exists() for name in settings["rule_files"])
    watched = {job for _, rule in RULES for job in re.findall(r'up\{job="([\w-]+)"\}', rule["expr"])}
    assert watched == {"edgefleet-bridge", "edgefleet-ingest"}

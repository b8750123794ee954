"""Every panel and every rule, asked of a real Prometheus that watches a real chain: none has nothing to say."""

import json
import math
import re
import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgefleet.embedded import MosquittoProcess, answers, edgefleet_process, free_port
from edgefleet.embedded.process import Server
from tests.deploy.test_monitoring import RULES, SHOWN
from tests.e2e.stack import FLEET
from tests.services.fixtures import unavailable
from tests.waiting import until

pytestmark = pytest.mark.e2e


@pytest.fixture
def prometheus(tmp_path: Path, mosquitto_factory: Callable[..., MosquittoProcess]) -> Iterator[str]:
    """Mosquitto, ingest, bridge and a fleet, and the URL of a Prometheus that reads them every 300 ms."""
    if (program := shutil.which("prometheus")) is None:
        unavailable("Prometheus is not installed: `apt-get install prometheus`")
    ports = {part: free_port() for part in ("ingest", "bridge", "fleet")}
    urls = {part: f"http://127.0.0.1:{port}" for part, port in ports.items()}
    with ExitStack() as stack:
        broker = mosquitto_factory()
        store = f"sqlite:///{tmp_path / 'ingest.db'}"
        ingest = ["ingest", "--port", str(ports["ingest"]), "--store", store]
        stack.enter_context(edgefleet_process("ingest", *ingest, url=f"{urls['ingest']}/readyz"))
        bridge = tmp_path / "bridge.yaml"
        settings = {
            "broker": broker.url,
            "spool": {"path": str(tmp_path / "spool.db")},
            "http": {"url": urls["ingest"]},
            "routes": [{"topic": "edge/#", "validate": "warn", "http": "/ingest/batch"}],
            "admin": {"port": ports["bridge"]},
        }
        bridge.write_text(yaml.safe_dump(settings))
        stack.enter_context(edgefleet_process("bridge", "bridge", "run", bridge, url=f"{urls['bridge']}/readyz"))
        scenario = tmp_path / "fleet.yaml"
        scenario.write_text(yaml.safe_dump(FLEET))
        run = ["run", scenario, "--broker", broker.url, "--metrics", str(ports["fleet"]), "--record", tmp_path / "run"]
        stack.enter_context(edgefleet_process("fleet", *run, url=f"{urls['fleet']}/metrics"))
        config = tmp_path / "prometheus.yaml"
        jobs = [
            {"job_name": f"edgefleet-{part}", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for part, port in ports.items()
        ]
        config.write_text(yaml.safe_dump({"global": {"scrape_interval": "300ms"}, "scrape_configs": jobs}))
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
        command.append(f"--web.listen-address=127.0.0.1:{port}")
        stack.enter_context(Server("prometheus", command, port=port, ready=lambda: answers(f"{url}/-/ready")))
        yield url


def ask(url: str, expression: str) -> list[float]:
    """Return the values that there are, without those that are no number."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=5) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    values = [float(one["value"][1]) for one in found]
    return [value for value in values if not math.isnan(value)]


def shown_expression(expression: str) -> str:
    """Return what Grafana makes of it for all instances."""
    return compared(expression.replace("$instance", ".*").replace("$__rate_interval", "5s"))


def compared(expression: str) -> str:
    """Return it with 0 or 1 for each comparison: nothing at all would be said where it does not hold."""
    return re.sub(r"\s(>=|<=|==|!=|>|<)\s", r" \1 bool ", expression)


def test_no_panel_and_no_rule_is_empty(prometheus: str) -> None:
    asked = {shown_expression(expression) for _, expression in SHOWN}
    asked |= {compared(rule["expr"]) for _, rule in RULES}
    empty = set(asked)

    def all_told() -> bool:
        nonlocal empty
        empty = {expression for expression in empty if not ask(prometheus, expression)}
        return not empty

    try:
        until(all_told)
    except AssertionError:
        pytest.fail("nothing is said by\n" + "\n".join(sorted(empty)))
    until(lambda: bool(ask(prometheus, "sum(rate(edgefleet_acknowledged_total[5s])) > 0")))
    assert len(ask(prometheus, "edgefleet_connected")) == len(FLEET["devices"])

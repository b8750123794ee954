"""The Helm chart, as Helm renders it: valid, and the same pods as the kustomizations, whose commands are tested."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bridge.config import BridgeConfig
from devices.scenario.loading import load_scenario
from edgewire.config import load_config
from tests.deploy.test_kubernetes import KUSTOMIZATIONS, MANIFESTS, Manifest, give_the_token
from tests.services.fixtures import unavailable
from tests.services.kafka import cache_folder

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "edgefleet"
KUSTOMIZE = ROOT / "deploy" / "kubernetes"
SCENARIO = KUSTOMIZE / "fleet" / "scenario.yaml"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
A_RUN = ("--set", "fleet.enabled=true", "--set-file", f"fleet.scenario={SCENARIO}")

pytestmark = pytest.mark.slow


def find_helm() -> str:
    """Return Helm's program: on the PATH, or where .ci/run puts it."""
    found = shutil.which("helm") or shutil.which("helm", path=str(cache_folder() / "bin"))
    if found is None:
        unavailable(
            "Helm is not installed: `go install helm.sh/helm/v3/cmd/helm@v3.19.5`, or https://helm.sh/docs/intro/install"
        )
    return found


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HELM_CACHE_HOME": "/nonexistent", "KUBECONFIG": "/dev/null"}
    command = [find_helm(), *arguments, str(CHART)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def render(*arguments: str) -> list[Manifest]:
    done = helm("template", "--kube-version=1.33", "--namespace=edgefleet", "edgefleet", *arguments)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


@pytest.fixture(scope="module")
def rendered() -> list[Manifest]:
    return render(*A_RUN)


def config_map(manifests: list[Manifest], name: str) -> str:
    (found,) = [one for one in manifests if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name]
    (text,) = found["data"].values()
    return str(text)


def test_what_is_rendered_is_valid_and_has_no_unknown_field(rendered: list[Manifest]) -> None:
    for manifest in rendered:
        for version in ("1.33", kubernetes_validate.latest_version()):
            kubernetes_validate.validate(manifest, version, strict=True)
    linted = helm("lint", "--strict", "--kube-version=1.33")
    assert linted.returncode == 0, linted.stdout


def without_names(manifest: Manifest) -> Any:
    """The manifest without what the two ways to install name differently: images and Secrets."""
    kept = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "spec": manifest["spec"]}
    text = json.dumps(kept, sort_keys=True)
    text = re.sub(r'"image": "[^"]*edgefleet[^"]*"', '"image": "edgefleet"', text)
    for name in VALUES["secrets"].values():
        text = text.replace(f'"{name}"', f'"{name.removeprefix("edgefleet-")}"')
    found = json.loads(text)
    pod = found["spec"].get("template", {})
    pod.get("metadata", {}).pop("annotations", None)
    for container in pod.get("spec", {}).get("containers", []):
        container.pop("imagePullPolicy", None)
    return found


def test_the_pods_are_those_of_the_kustomizations(rendered: list[Manifest]) -> None:
    ours = {
        (one["kind"], one["metadata"]["name"]): without_names(one) for one in rendered if one["kind"] != "ConfigMap"
    }
    theirs = {
        (one["kind"], one["metadata"]["name"]): without_names(one)
        for one in MANIFESTS
        if one["kind"] != "Namespace" and "name" in one["metadata"]
    }
    assert ours == theirs


def test_the_files_are_those_of_the_kustomizations(
    rendered: list[Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "bridge-1")
    give_the_token(tmp_path, monkeypatch)
    assert config_map(rendered, "mosquitto") + "\n" == (ROOT / "mosquitto" / "secured.conf").read_text(encoding="utf-8")
    assert (CHART / "files" / "mosquitto.conf").read_bytes() == (ROOT / "mosquitto" / "secured.conf").read_bytes()
    bridge = tmp_path / "bridge.yaml"
    bridge.write_text(config_map(rendered, "bridge"))
    assert load_config(bridge, BridgeConfig) == load_config(KUSTOMIZE / "chain" / "bridge-config.yaml", BridgeConfig)
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(config_map(rendered, "scenario"))
    assert load_scenario(scenario) == load_scenario(SCENARIO)


def test_values_reach_what_they_name() -> None:
    given = ["fleet.shards=7", "fleet.duration=1h", "image.repository=registry.example/edgefleet", "image.tag=9.9"]
    given += ["bridge.replicas=3", "bridge.config.kafka.bootstrap_servers=kafka:9092", "secrets.fleet=mine"]
    given += ["ingest.store=postgresql://db/edgefleet", "imagePullSecrets[0].name=puller", "mosquitto.storage=1Gi"]
    found = {(one["kind"], one["metadata"]["name"]): one for one in render(*A_RUN, *(f"--set={one}" for one in given))}
    job = found["Job", "fleet"]["spec"]
    pod = job["template"]["spec"]
    assert job["completions"] == job["parallelism"] == 7
    assert pod["containers"][0]["env"][1] == {"name": "FLEET_SHARD", "value": "$(JOB_COMPLETION_INDEX)/7"}
    assert "--duration=1h" in pod["containers"][0]["args"]
    assert pod["containers"][0]["image"] == "registry.example/edgefleet:9.9"
    assert pod["imagePullSecrets"] == [{"name": "puller"}]
    assert "mine" in {volume.get("secret", {}).get("secretName") for volume in pod["volumes"]}
    assert found["StatefulSet", "bridge"]["spec"]["replicas"] == 3
    assert "bootstrap_servers: kafka:9092" in config_map(list(found.values()), "bridge")
    ingest = found["StatefulSet", "ingest"]["spec"]["template"]["spec"]["containers"][0]
    assert ingest["args"][-1] == "postgresql://db/edgefleet"
    (claim,) = found["StatefulSet", "mosquitto"]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"


@pytest.mark.parametrize(
    ("given", "http", "mounted"),
    [
        ((), {"url": "http://ingest:8000", "token_file": "/etc/edgefleet/ingest/ingest-token"}, True),
        (("bridge.config.http.url=https://mine.example",), {"url": "https://mine.example"}, False),
        (("bridge.config.http.token=mine",), {"url": "http://ingest:8000", "token": "mine"}, True),
        (("ingest.enabled=false",), {"url": "http://ingest:8000"}, False),
        (("bridge.config.http=null", "bridge.config.kafka.bootstrap_servers=kafka:9092"), None, False),
    ],
)
def test_a_backend_of_ones_own_is_sent_no_token_of_ours(
    given: tuple[str, ...], http: dict[str, str] | None, mounted: bool
) -> None:
    found = render(*(f"--set={one}" for one in given))
    assert yaml.safe_load(config_map(found, "bridge")).get("http") == http
    (bridge,) = [one for one in found if one["kind"] == "StatefulSet" and one["metadata"]["name"] == "bridge"]
    volumes = bridge["spec"]["template"]["spec"]["volumes"]
    secrets = [one["secret"]["secretName"] for one in volumes if "secret" in one]
    assert secrets == [VALUES["secrets"]["bridge"], *([VALUES["secrets"]["ingest"]] if mounted else [])]


def test_the_chain_stands_without_a_run_and_a_run_without_a_scenario_is_refused() -> None:
    kinds = [(one["kind"], one["metadata"]["name"]) for one in render()]
    assert ("Job", "fleet") not in kinds
    assert ("PersistentVolumeClaim", "fleet-runs") in kinds
    refused = helm("template", "--kube-version=1.33", "edgefleet", "--set=fleet.enabled=true")
    assert refused.returncode != 0
    assert "--set-file fleet.scenario=scenario.yaml" in refused.stderr


def test_the_secrets_have_the_files_that_the_pods_read() -> None:
    """Those that the document has a user make, against those that the kustomization makes."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8").replace("\\\n", " ")
    made = {
        name: {Path(file).name for file in re.findall(r"--from-(?:env-)?file=(\S+)", rest)}
        for name, rest in re.findall(r"create secret generic (\S+)(.*)", text)
    }
    wanted = {
        f"edgefleet-{one['name'].removeprefix('edgefleet-')}": {
            Path(file).name for file in [*one.get("files", []), *one.get("envs", [])]
        }
        for one in KUSTOMIZATIONS["chain"]["secretGenerator"]
    }
    assert made == wanted
    assert set(VALUES["secrets"].values()) == wanted.keys()


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    tag = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["x-edgefleet"]["image"]
    assert tag == f"edgefleet:{chart['appVersion']}"

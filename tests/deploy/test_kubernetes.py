"""The manifests of deploy/kubernetes, without a cluster: valid, and about an image that can do what they ask of it."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from bridge.config import BridgeConfig
from devices.scenario.devices import Shard, device_ids
from devices.scenario.loading import load_scenario
from devices.timeline.timeline import Timeline
from edgefleet.cli import app
from edgewire import config
from edgewire.link import BrokerUrl

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OURS = "edgefleet"

Manifest = dict[str, Any]


def read(path: str) -> list[Manifest]:
    return list(yaml.safe_load_all((FOLDER / path).read_text(encoding="utf-8")))


KUSTOMIZATIONS: dict[str, Manifest] = {name: read(f"{name}/kustomization.yaml")[0] for name in ("chain", "fleet")}
FILES = [f"{name}/{file}" for name, content in KUSTOMIZATIONS.items() for file in content["resources"]]
MANIFESTS = [manifest for file in [*FILES, "fleet/verify.yaml"] for manifest in read(file)]
PODS = {
    manifest["metadata"].get("name", "verify"): manifest["spec"]["template"]["spec"]
    for manifest in MANIFESTS
    if "template" in manifest.get("spec", {})
}
CONTAINERS: dict[str, Manifest] = {name: pod["containers"][0] for name, pod in PODS.items()}


def named(name: str, kind: str) -> Manifest:
    return next(one for one in MANIFESTS if one["kind"] == kind and one["metadata"].get("name") == name)


def give_the_token(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the token of the ingest where this machine has a file, as a container has its mount."""
    token = folder / "ingest-token"
    token.write_text("sesame\n")
    token.chmod(0o600)
    monkeypatch.setenv("BRIDGE_HTTP__TOKEN_FILE", str(token))


def invocation(command: list[str]) -> tuple[Any, Any]:
    """The command of ours that would run, its options parsed; raises where it has not all of them."""
    found: Any = typer.main.get_command(app)
    while commands := getattr(found, "commands", None):
        found, command = commands[command[0]], command[1:]
    return found, found.make_context(found.name, command)


@pytest.mark.slow
# The oldest release that has all of what the Job asks for as stable, and the newest that is known.
@pytest.mark.parametrize("version", ["1.33", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']} {one['metadata'].get('name', '')}")
def test_a_manifest_is_valid_and_has_no_unknown_field(manifest: Manifest, version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_mistake_in_a_manifest_is_found() -> None:
    job = named("fleet", "Job")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job | {"spec": job["spec"] | {"completion": 4}}, "1.33", strict=True)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_what_the_restricted_standard_of_its_namespace_allows(name: str) -> None:
    pod, container = PODS[name], CONTAINERS[name]
    assert named("edgefleet", "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False


def test_what_pods_mount_is_there() -> None:
    made = {"ConfigMap": set(), "Secret": set()}
    for content in KUSTOMIZATIONS.values():
        made["ConfigMap"] |= {one["name"] for one in content["configMapGenerator"]}
        made["Secret"] |= {one["name"] for one in content.get("secretGenerator", ())}
    claims = {one["metadata"]["name"] for one in MANIFESTS if one["kind"] == "PersistentVolumeClaim"}
    for name, pod in PODS.items():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for volume in volumes.values():
            assert volume.get("configMap", {}).get("name") in {None, *made["ConfigMap"]}
            assert volume.get("secret", {}).get("secretName") in {None, *made["Secret"]}
            assert volume.get("persistentVolumeClaim", {}).get("claimName") in {None, *claims}
        owners = [one for one in MANIFESTS if one["kind"] == "StatefulSet" and one["metadata"]["name"] == name]
        templates = {claim["metadata"]["name"] for one in owners for claim in one["spec"]["volumeClaimTemplates"]}
        assert {mount["name"] for mount in CONTAINERS[name]["volumeMounts"]} == volumes.keys() | templates


def generated_files(kind: str) -> Iterator[str]:
    for name, content in KUSTOMIZATIONS.items():
        for generator in content.get(kind, ()):
            yield from (f"{name}/{file.split('=')[-1]}" for file in generator.get("files", []))


def test_the_files_of_the_config_maps_are_there_and_the_profile_is_the_secured_one() -> None:
    assert [file for file in generated_files("configMapGenerator") if not (FOLDER / file).is_file()] == []
    profile = (FOLDER / "chain" / "mosquitto.conf").read_text(encoding="utf-8")
    assert profile == (ROOT / "mosquitto" / "secured.conf").read_text(encoding="utf-8")
    read_by_it = {Path(path).name for path in re.findall(r"/mosquitto/secrets/(\S+)", profile)}
    secret = next(one for one in KUSTOMIZATIONS["chain"]["secretGenerator"] if one["name"] == "mosquitto")
    assert {Path(file).name for file in secret["files"]} == read_by_it


@pytest.mark.parametrize("name", [name for name, one in CONTAINERS.items() if one["image"].split(":")[0] == OURS])
def test_the_image_has_the_command_and_the_options(name: str) -> None:
    container = CONTAINERS[name]
    if "command" not in container:
        invocation(container["args"])
    for command in (
        container.get("command"),
        container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command"),
    ):
        if command and command[0] == "sh":
            command = command[-1].removeprefix("exec ").split()
        if command:
            assert command[0] == OURS
            invocation(command[1:])


def test_an_option_that_is_none_is_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        invocation([*CONTAINERS["fleet"]["args"], "--sharding=1/2"])


def test_the_image_is_the_one_that_compose_builds() -> None:
    tag = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["x-edgefleet"]["image"]
    assert tag == CONTAINERS["verify"]["image"]
    for content in KUSTOMIZATIONS.values():
        assert [f"{image['newName']}:{image['newTag']}" for image in content["images"]] == [tag]


def shards_of(job: Manifest) -> list[Shard]:
    """What each pod of the Job reads from its environment."""
    found = []
    for index in range(job["spec"]["completions"]):
        text = environment(job)["FLEET_SHARD"]["value"].replace("$(JOB_COMPLETION_INDEX)", str(index))
        found.append(Shard.parse(text))
    return found


def environment(job: Manifest) -> dict[str, Manifest]:
    return {one["name"]: one for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}


def test_the_pods_of_the_job_have_every_device_exactly_once() -> None:
    job = named("fleet", "Job")
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"]
    # A variable can only be put into those that come after it.
    assert list(environment(job)) == ["JOB_COMPLETION_INDEX", "FLEET_SHARD", "FLEET_RUN_ID"]
    scenario = load_scenario(FOLDER / "fleet" / "scenario.yaml")
    mine = [[device.device_id for device in Timeline(scenario, 0, shard).devices] for shard in shards_of(job)]
    assert sorted(device for part in mine for device in part) == sorted(device_ids(scenario))
    assert max(map(len, mine)) - min(map(len, mine)) <= 1
    command, _ = invocation(CONTAINERS["fleet"]["args"])
    assert "FLEET_SHARD" in {option.envvar for option in command.params}


def test_the_fleet_reaches_the_broker_and_keeps_its_record() -> None:
    scenario = load_scenario(FOLDER / "fleet" / "scenario.yaml")
    ports = {port["port"] for port in named("mosquitto", "Service")["spec"]["ports"]}
    assert {(url.host, url.port in ports) for url in scenario.broker_urls} == {("mosquitto", True)}
    mounts = {mount["mountPath"] for mount in CONTAINERS["fleet"]["volumeMounts"]}
    _, context = invocation(CONTAINERS["fleet"]["args"])
    assert str(scenario.identities) in mounts
    assert str(context.params["scenario"].parent) in mounts
    assert str(context.params["record"].parents[1]) in mounts
    # Outboxes drain for up to 10 s, workers of a large shard take as long again to write what they did.
    assert PODS["fleet"]["terminationGracePeriodSeconds"] >= 30


@pytest.mark.parametrize("name", ["ingest", "bridge", "verify"])
def test_who_posts_to_the_ingest_or_asks_it_has_its_token(name: str) -> None:
    """By one Secret, mounted where each of them reads it."""
    (volume,) = [one for one in PODS[name]["volumes"] if one.get("secret", {}).get("secretName") == "edgefleet-ingest"]
    (mount,) = [one for one in CONTAINERS[name]["volumeMounts"] if one["name"] == volume["name"]]
    (secret,) = [one for one in KUSTOMIZATIONS["chain"]["secretGenerator"] if one["name"] == "edgefleet-ingest"]
    assert secret["options"] == {"disableNameSuffixHash": True}
    place = f"{mount['mountPath']}/{Path(secret['files'][0]).name}"
    if name == "bridge":
        http = yaml.safe_load((FOLDER / "chain" / "bridge-config.yaml").read_text(encoding="utf-8"))["http"]
        assert http == {"url": "http://ingest:8000", "token_file": place}
    else:
        (variable,) = CONTAINERS[name]["env"]
        assert variable == {"name": "EDGEFLEET_INGEST_TOKEN_FILE", "value": place}


def test_the_bridge_has_a_name_and_a_spool_of_its_own_and_time_to_drain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    give_the_token(tmp_path, monkeypatch)
    monkeypatch.setattr("socket.gethostname", lambda: "bridge-1")
    monkeypatch.setenv("BRIDGE_BROKER", "mqtts://edgefleet-bridge:secret@mosquitto:8884")
    loaded = config.load_config(FOLDER / "chain" / "bridge-config.yaml", BridgeConfig)
    assert loaded.client_id == "bridge-1"
    assert BrokerUrl.parse(loaded.broker).port in {
        one["port"] for one in named("mosquitto", "Service")["spec"]["ports"]
    }
    mounts = {mount["mountPath"] for mount in CONTAINERS["bridge"]["volumeMounts"]}
    assert {str(Path(loaded.spool.path).parent), str(Path(loaded.mqtt.ca_file or "").parent)} <= mounts
    grace_ms = 1000 * PODS["bridge"]["terminationGracePeriodSeconds"]
    assert grace_ms > loaded.drain_timeout + loaded.shutdown_timeout
    assert {port["containerPort"] for port in CONTAINERS["bridge"]["ports"]} == {loaded.admin.port}
    # Replaced one after the other while another receives: a session that is drained has no queue.
    assert named("bridge", "StatefulSet")["spec"]["replicas"] > 1
    assert loaded.shared


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed: kustomizations are not rendered")
def test_the_number_of_shards_stands_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    shutil.copytree(FOLDER / "fleet", tmp_path / "fleet")
    path = tmp_path / "fleet" / "job.yaml"
    path.write_text(path.read_text().replace("completions: 4", "completions: 7"))
    rendered = subprocess.run(["kubectl", "kustomize", path.parent], capture_output=True, text=True, check=True).stdout
    job = next(one for one in yaml.safe_load_all(rendered) if one["kind"] == "Job")
    kubernetes_validate.validate(job, "1.33", strict=True)
    assert job["spec"]["parallelism"] == 7
    assert shards_of(job) == [Shard(index, 7) for index in range(7)]

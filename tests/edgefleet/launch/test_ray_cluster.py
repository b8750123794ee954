"""What goes wrong with a Ray cluster, without one; test_ray.py runs on a real one."""

import asyncio
import socket
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.embedded import free_port
from edgefleet.launch import ray_cluster
from edgefleet.launch.launcher import WorkerFailed
from edgefleet.launch.ray_cluster import RayCluster, join_cluster
from edgefleet.launch.ray_shard import ShardActor, installed_versions
from edgefleet.launch.shard import ShardJob
from edgefleet.launch.workers import Workers
from edgewire import logs
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.mqtt import Version

JOB = ShardJob(
    scenario=Scenario(devices=[{"kind": "bme280", "count": 2}]), name="test", version=Version.V5, shard=Shard()
)


class FakeRayError(Exception):
    """Of Ray itself, such as the death of an actor."""


class FakeTaskError(FakeRayError):
    """Raised by our code on a node; `cause` is what it raised."""

    cause = ValueError("a mistake")


class FakeRay:
    """What we use of Ray, with `place` answered by the test; what it starts and ends is kept."""

    exceptions = SimpleNamespace(RayError=FakeRayError, RayTaskError=FakeTaskError)

    def __init__(self, place: Callable[[], Any]) -> None:
        self.place = place
        self.killed: list[Any] = []

    def remote(self, **options: object) -> Callable[[type], Any]:
        assert options["max_task_retries"] == options["max_restarts"] == 0
        actor = SimpleNamespace(place=SimpleNamespace(remote=self.place))
        return lambda _: SimpleNamespace(remote=lambda *_: actor)

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0}

    def available_resources(self) -> dict[str, float]:
        return {}


async def answer(installed_versions: dict[str, str]) -> tuple[str, int, dict[str, str]]:
    return "node-7", 123, installed_versions


async def never() -> None:
    await asyncio.Event().wait()


async def fail(error: Exception) -> None:
    raise error


async def begun(ray: FakeRay, stop: asyncio.Event | None = None) -> str:
    """The sentence with which a run of two workers does not begin."""
    with pytest.raises(ServiceUnavailable) as caught:
        await Workers(JOB, 2, RayCluster(ray, "critical")).run_workers(stop or asyncio.Event())
    assert len(ray.killed) == 2, "no actor is left over"
    return str(caught.value)


@pytest.mark.parametrize("name", installed_versions())
async def test_a_node_of_another_version_is_named_before_the_run(name: str) -> None:
    said = await begun(FakeRay(lambda: answer(installed_versions() | {name: "0.0.9"})))
    assert f"worker 0: node node-7 has {name} 0.0.9 instead of {installed_versions()[name]}: install the same" in said


async def test_a_cluster_without_a_free_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "PLACE_S", 0.01)
    said = await begun(FakeRay(never))
    assert "of 4 it has 0 free; ask for fewer --workers" in said


def test_a_cluster_with_fewer_processors_than_workers_says_so_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = RayCluster(FakeRay(never), "critical")
    with pytest.raises(
        ServiceUnavailable, match=r"has 4 processors, and 5 workers take one each: ask for --workers 4 "
    ):
        cluster.prepare(JOB, 5, None)
    logs.configure("warning")
    cluster.prepare(JOB, 4, None)
    assert '"workers": 4, "processors": 4, "free": 0' in capsys.readouterr().err


async def test_ctrl_c_while_the_cluster_has_no_place() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    assert "stopped before it began" in await begun(FakeRay(never), stop)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            FakeRayError("page one\nModuleNotFoundError: No module named 'edgefleet'"),
            "No module named 'edgefleet'; every",
        ),
        (FakeTaskError(), "ValueError: a mistake"),
    ],
)
async def test_a_worker_that_does_not_come_up_ends_the_run(error: Exception, said: str) -> None:
    assert said in await begun(FakeRay(lambda: fail(error)))


async def test_an_actor_that_cannot_run_its_shard_says_why() -> None:
    actor = ShardActor("critical", 0)
    said = [
        one
        async for one in actor.run(
            ShardJob(
                scenario=Scenario(devices=[{"kind": "gps", "count": 1}], identities="nowhere"),
                name="test",
                version=Version.V5,
                shard=Shard(),
            )
        )
    ]
    assert len(said) == 1
    assert isinstance(said[0], WorkerFailed)
    assert "nowhere" in said[0].reason or "mqtts" in said[0].reason


def test_without_ray_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'edgefleet\[ray\]'"), join_cluster(None, "info"):
        pass


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:x"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ConfigError, match="is no HOST:PORT"), join_cluster(address, "info"):
        pass


def test_a_cluster_that_is_on_loopback_alone_is_not_asked_for_minutes_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray takes 127.0.0.1 for the address of the machine towards others."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'edgefleet[ray]'")
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.77")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(ServiceUnavailable, match=r"Ray takes 127\.0\.0\.1 for 127\.0\.0\.77, and no"),
            join_cluster(address, "info"),
        ):
            pass


def test_a_cluster_that_is_not_there_is_named_at_once() -> None:
    with (
        pytest.raises(ServiceUnavailable, match="no Ray cluster answers there"),
        join_cluster(f"127.0.0.1:{free_port()}", "info"),
    ):
        pass

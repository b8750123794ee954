"""A service that cannot be had: a skip that says how to get it, a failure where services are required."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgefleet.embedded import MosquittoProcess
from edgewire.errors import ServiceUnavailable
from tests.services.fixtures import unavailable
from tests.services.kafka import kafka_jars


def test_a_missing_service_is_a_skip_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEFLEET_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="there is no broker: install one"):
        unavailable("there is no broker: install one")


def test_a_missing_service_is_a_failure_where_services_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFLEET_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="EDGEFLEET_REQUIRE_SERVICES=1, but there is no broker"):
        unavailable("there is no broker")


def test_the_fixtures_ask_for_mosquitto(
    monkeypatch: pytest.MonkeyPatch, mosquitto_factory: Callable[..., MosquittoProcess]
) -> None:
    monkeypatch.setenv("EDGEFLEET_REQUIRE_SERVICES", "1")
    monkeypatch.setattr("edgefleet.embedded.brokers.find_mosquitto", lambda: None)
    with pytest.raises(pytest.fail.Exception, match="apt-get install mosquitto"):
        mosquitto_factory()


def test_kafka_without_java_or_maven_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceUnavailable, match=r"needs `java`: `apt-get install .*, or name a running Kafka in"):
        kafka_jars()
    (tmp_path / "java").touch(mode=0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ServiceUnavailable, match="needs `mvn`"):
        kafka_jars()


def test_what_maven_says_is_in_the_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for program in ("java", "mvn"):
        (tmp_path / program).write_text("#!/bin/sh\necho 'no such artifact'\nexit 1\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ServiceUnavailable, match=r"Maven could not fetch the jars of .*: no such artifact"):
        kafka_jars()
    assert [path.name for path in (tmp_path / "edgefleet").iterdir()] == []

"""Bridges that share the work are killed, added and drained: nothing is lost but a spool, and that is named."""

import random
import secrets
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Set
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.source.client import OTHER_SPOOL
from edgefleet.embedded import MosquittoProcess
from edgewire.run_record import DeviceRecord
from tests.chaos.bridge import BridgeUnderTest
from tests.chaos.inject_members import take_spool
from tests.chaos.publishers import KINDS, Publishers
from tests.chaos.records import Arrival, Published, lines_in
from tests.chaos.unforgiving import until
from tests.run_records import run_record

pytestmark = [pytest.mark.long, pytest.mark.services, pytest.mark.e2e, pytest.mark.timeout(400)]

DEVICES = 8


class Group:
    """Members with a spool and files of their own, behind one Mosquitto."""

    def __init__(self, mosquitto: MosquittoProcess, folder: Path, stack: ExitStack) -> None:
        self._mosquitto, self._folder, self._stack = mosquitto, folder, stack
        self.site = f"m{secrets.token_hex(5)}"
        self.members: list[BridgeUnderTest] = []
        self.publishers = Publishers(
            mosquitto.port, self.site, random.Random(1), devices=DEVICES, rate=300, at_most=6000
        )
        stack.callback(self.publishers.close)

    def add(self, subscriptions: list[str]) -> BridgeUnderTest:
        folder = self._folder / f"member-{len(self.members)}"
        folder.mkdir()
        member = BridgeUnderTest(
            folder,
            {
                "broker": self._mosquitto.url,
                "client_id": f"{self.site}-{len(self.members)}",
                "subscriptions": subscriptions,
                "spool": {"path": str(folder / "spool.db")},
                "file": {"folder": str(folder / "files")},
                "routes": [{"topic": "edge/#", "file": "all.jsonl"}],
            },
        )
        self._stack.callback(member.kill_quietly)
        self.members.append(member)
        member.start()
        member.wait_ready()
        return member

    def publish(self, more: int) -> None:
        least = self.publishers.count + more
        until(lambda: self.publishers.count >= least, lambda: self.publishers.count)

    def lines(self) -> list[list[Arrival]]:
        return [lines_in(member.folder / "files") for member in self.members]

    def _missing(self, must: Set[str]) -> Set[str]:
        """Return what of it is in no file."""
        return must - {line.id for lines in self.lines() for line in lines}

    def finish(self, lost: Set[str] = frozenset()) -> None:
        """Nothing that was acknowledged is missing but these, and the books of each member balance."""
        self.publishers.finish(at_least=0, timeout_s=60)
        must = self.publishers.published().acknowledged - lost
        until(lambda: not self._missing(must), lambda: sorted(self._missing(must))[:5])
        for member, lines in zip(self.members, self.lines(), strict=True):
            if member.running:
                until(lambda member=member: member.pending() == 0, member.last_words)
                assert member.stop() == 0
            (books,) = member.ledger()["sinks"]
            assert books["balanced"]
            assert (books["pending"], books["dead_lettered"]) == (0, 0)
            assert books["delivered"] <= len(lines)
            assert len(lines) > 0


def test_of_a_shared_subscription_members_are_killed_added_and_drained(
    mosquitto_factory: Callable[..., MosquittoProcess], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        group = Group(mosquitto_factory(), tmp_path, stack)
        shared = [f"$share/g/edge/{group.site}/+/+/telemetry"]
        members = [group.add(shared) for _ in range(3)]
        group.publishers.start()
        group.publish(200)
        members[0].kill()
        group.publish(200)
        group.add(shared)
        group.publish(200)
        members[0].start()
        group.publish(200)
        members[1].drain()
        group.publish(200)
        group.finish()
        ids = [line.id for lines in group.lines() for line in lines]
        # What was under way to the one that was killed may be there twice, and nothing else.
        again = len(ids) - len(set(ids))
        assert again <= 200


def test_of_divided_topics_each_device_stays_in_order_with_its_member(
    mosquitto_factory: Callable[..., MosquittoProcess], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        group = Group(mosquitto_factory(), tmp_path, stack)
        names = [f"{group.site}-{KINDS[number % 2]}-{number}" for number in range(DEVICES)]
        for number in range(3):
            group.add([f"edge/{group.site}/+/{name}/telemetry" for name in names[number::3]])
        group.publishers.start()
        for member in group.members:
            group.publish(200)
            member.kill()
            group.publish(100)
            member.start()
        group.publish(200)
        group.finish()
        members = defaultdict(set)
        for number, lines in enumerate(group.lines()):
            seen: dict[str, list[int]] = defaultdict(list)
            for line in lines:
                members[line.device].add(number)
                if line.seq not in seen[line.device]:
                    seen[line.device].append(line.seq)
            assert all(numbers == sorted(numbers) for numbers in seen.values())
        assert {name: members[name] for name in names} == {name: {at % 3} for at, name in enumerate(names)}


def record_of(published: Published, folder: Path) -> Path:
    """Write down what the publishers say as the record of a run; return its folder."""
    numbers: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for message in published.payloads:
        device, _, seq = message.split(":")
        numbers[device].append((int(seq), message in published.acknowledged))
    devices = []
    for device, seqs in numbers.items():
        open_ = [(seq, seq) for seq, acknowledged in sorted(seqs) if not acknowledged]
        devices.append(
            DeviceRecord(
                device_id=device,
                kind=device.split("-")[1],
                site=device.split("-")[0],
                boot=1,
                first_seq=0,
                last_seq=max(seqs)[0],
                acknowledged=len(seqs) - len(open_),
                unsent=open_,
                unacknowledged=open_,
            )
        )
    return run_record(*devices).save(folder).parent


def verdict_on(run: Path, rows: Path) -> tuple[int, dict[str, Any]]:
    """Return the exit code of `edgefleet verify` and what it prints."""
    command = [sys.executable, "-m", "edgefleet", "verify", str(run), "--rows", str(rows), "--wait", "0s", "--json"]
    done = subprocess.run(command, capture_output=True, timeout=180)
    document: dict[str, Any] = orjson.loads(done.stdout)
    return done.returncode, document


def test_of_a_member_whose_spool_is_gone_what_is_lost_is_named_and_nothing_else_is_missing(
    mosquitto_factory: Callable[..., MosquittoProcess], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        group = Group(mosquitto_factory(), tmp_path, stack)
        shared = [f"$share/g/edge/{group.site}/+/+/telemetry"]
        victim, *_ = [group.add(shared) for _ in range(3)]
        group.publishers.start()
        group.publish(200)
        victim.post("/v1/pause")
        until(lambda: (victim.pending() or 0) >= 100, victim.last_words)
        victim.kill()
        held = take_spool(victim.spool)
        # Of a shared subscription what it has not acknowledged waits in its session, or goes to others.
        group.publish(200)
        victim.start()
        victim.wait_ready()
        assert OTHER_SPOOL in victim.words()
        group.publish(200)
        group.finish(lost=held)
        published = group.publishers.published()
        arrived = {line.id for lines in group.lines() for line in lines}
        lost = published.acknowledged - arrived
        assert lost <= held
        assert len(lost) >= 50

        rows = tmp_path / "rows.jsonl"
        rows.write_bytes(b"".join(line.payload + b"\n" for lines in group.lines() for line in lines))
        code, verdict = verdict_on(record_of(published, tmp_path / "run"), rows)
        assert (code, verdict["verdict"]) == (1, "FAIL")
        assert verdict["rows"]["lost"] == len(lost)
        assert verdict["rows"]["missing_by_device"] == Counter(one.split(":")[0] for one in lost)
        assert verdict["rows"]["missing"]
        assert set(verdict["rows"]["missing"]) <= lost

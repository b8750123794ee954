"""The file sink: lines that are safe, files that are rotated, a folder of its own."""

import asyncio
import errno
import gzip
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from bridge.routing.config import RouteConfig
from bridge.routing.table import RouteTable
from bridge.sinks.base import Rejected, Retry
from bridge.sinks.file.config import FileSinkConfig, FileTarget
from bridge.sinks.file.folder import Folder
from bridge.sinks.file.sink import FileSink
from edgewire.clock import SystemClock
from edgewire.errors import ConfigError
from tests.bridge.fakes import TABLE, routed
from tests.waiting import eventually


class Wall(SystemClock):
    """A clock that a test moves, in seconds since 1970."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def now_ms(self) -> int:
        return round(self._now() * 1000)


@asynccontextmanager
async def connected(
    folder: Path, table: RouteTable = TABLE, now: Callable[[], float] = lambda: 0.0, **settings: object
) -> AsyncIterator[FileSink]:
    sink = FileSink(FileSinkConfig(folder=folder, **settings), table.targets_in("file"), "b", Wall(now))  # type: ignore[arg-type]
    await sink.connect()
    try:
        yield sink
    finally:
        await sink.close()


async def write(sink: FileSink, *numbers: int, table: RouteTable = TABLE, **fields: object) -> dict[int, object]:
    batch = [routed(number, table=table, **fields) for number in numbers]
    return dict(await sink.write(str(sink.queue_key(batch[0])), batch))


def seqs(path: Path) -> list[int]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    assert data.endswith(b"\n")
    return [orjson.loads(line)["seq"] for line in data.splitlines()]


async def test_a_line_is_the_payload_and_a_path_is_made_of_the_message(tmp_path: Path) -> None:
    table = RouteTable([RouteConfig(topic="#", file="{site}/{kind}.jsonl")])
    async with connected(tmp_path, table) as sink:
        assert sink.queue_key(routed(1, table=table)) == "site/bme280.jsonl"
        assert not await write(sink, 1, 2, table=table)
    assert (tmp_path / "site/bme280.jsonl").read_bytes() == b"".join(
        routed(number).message.payload + b"\n" for number in (1, 2)
    )


async def test_a_line_can_be_a_cloud_event_or_a_text(tmp_path: Path) -> None:
    async with connected(tmp_path, format="cloudevents") as sink:
        assert not await write(sink, 1)
    event = orjson.loads((tmp_path / "bme280.jsonl").read_bytes())
    assert (event["id"], event["specversion"], event["data"]["seq"]) == ("a:1:1", "1.0", 1)
    text = RouteTable([RouteConfig(topic="#", file=FileTarget(path="x.csv", body="{device_id},{payload.seq}"))])
    async with connected(tmp_path, text) as sink:
        assert not await write(sink, 1, 2, table=text)
    assert (tmp_path / "x.csv").read_text() == "a,1\na,2\n"
    with pytest.raises(ConfigError, match=r"file.body is a text"):
        FileSink(FileSinkConfig(format="cloudevents"), text.targets_in("file"), "b")  # type: ignore[arg-type]


async def test_a_file_is_rotated_before_it_grows_too_large_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    clock = iter(range(100))
    async with connected(tmp_path, now=lambda: next(clock), max_bytes=1024, compression="gzip", keep=2) as sink:
        for number in range(1, 60):
            assert not await write(sink, number)
        await eventually(lambda: len(list(tmp_path.glob("bme280-*.gz"))) == 2)
    kept = [tmp_path / name for name in left(tmp_path)]
    assert [path.name for path in kept][-1] == "bme280.jsonl"
    assert all(path.stat().st_size <= 1024 for path in kept)
    found = [seq for path in kept for seq in seqs(path)]
    assert found == list(range(found[0], 60))


async def test_a_file_is_rotated_by_age_even_if_nothing_more_comes(tmp_path: Path) -> None:
    times = [0.0]
    async with connected(tmp_path, now=lambda: times[0], max_age="1s") as sink:
        assert not await write(sink, 1)
        times[0] = 2.0
        await eventually(lambda: not (tmp_path / "bme280.jsonl").exists())
        assert left(tmp_path) == ["bme280-19700101T000002.000000Z.jsonl"]
        assert not await write(sink, 2)
    assert seqs(tmp_path / "bme280.jsonl") == [2]


async def test_a_file_of_an_earlier_life_is_rotated_although_nothing_more_comes(tmp_path: Path) -> None:
    table = RouteTable([RouteConfig(topic="#", file="{site}/{device_id}.jsonl")])
    (tmp_path / "site").mkdir()
    (tmp_path / "site/gone.jsonl").write_bytes(b'{"seq":1}\n')
    (tmp_path / "site/other.txt").write_bytes(b"not ours\n")
    for name in ("gone.jsonl", "other.txt"):
        os.utime(tmp_path / "site" / name, (0.0, 0.0))
    async with connected(tmp_path, table, now=lambda: 2.0, max_age="1s", compression="gzip"):
        await eventually((tmp_path / "site/gone-19700101T000002.000000Z.jsonl.gz").exists)
        await eventually(lambda: len(os.listdir(tmp_path / "site")) == 2)
    assert (tmp_path / "site/other.txt").exists()


async def test_the_age_of_a_file_counts_from_its_first_line_though_it_was_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.sinks.file.folder.OPEN_FILES", 1)
    table = RouteTable([RouteConfig(topic="#", file="{device_id}.jsonl")])
    times = [0.0]
    async with connected(tmp_path, table, now=lambda: times[0], max_age="10s") as sink:
        for second in range(12):
            times[0] = float(second)
            assert not await sink.write("lane", [routed(second, device, table) for device in ("a", "b")])
        await eventually(lambda: len(left(tmp_path, "a-*")) == 1)
    assert seqs(tmp_path / left(tmp_path, "a-*")[0]) == list(range(10))


async def test_after_a_full_disk_nothing_is_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    room = [3]

    def little_room(file: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        return real(file, bytes(data[:10]))

    async with connected(tmp_path) as sink:
        assert not await write(sink, 1)
        with monkeypatch.context() as patched:
            patched.setattr("bridge.sinks.file.rotating_file.os.write", little_room)
            failures = await write(sink, 2, 3)
        assert sorted(failures) == [0, 1]
        why = failures[0]
        assert isinstance(why, Retry)
        assert (why.cause, why.needs_operator) == ("disk_full", False)
        assert "No space left" in why.reason
        assert seqs(tmp_path / "bme280.jsonl") == [1]
        assert not await write(sink, 2, 3)
    assert seqs(tmp_path / "bme280.jsonl") == [1, 2, 3]


@pytest.mark.parametrize("value", ["../up", ".hidden", "a/b", "", "x" * 300, "a\nb"])
async def test_a_value_that_leads_elsewhere_costs_its_message_alone(tmp_path: Path, value: str) -> None:
    table = RouteTable([RouteConfig(topic="#", file="{payload.vehicle_id}.jsonl")])
    async with connected(tmp_path / "in", table) as sink:
        batch = [routed(1, table=table, vehicle_id="v1"), routed(2, table=table, vehicle_id=value)]
        failures = await sink.write(str(sink.queue_key(batch[0])), batch)
        assert [type(why) for why in failures.values()] == [Rejected]
        assert list(failures) == [1]
    assert os.listdir(tmp_path) == ["in"]
    assert sorted(os.listdir(tmp_path / "in")) == [".lock", "v1.jsonl"]


async def test_a_folder_belongs_to_one_bridge(tmp_path: Path) -> None:
    async with connected(tmp_path):
        second = FileSink(FileSinkConfig(folder=tmp_path), [], "b2")
        with pytest.raises(ConfigError, match="used by another bridge"):
            await second.connect()


async def test_a_path_that_cannot_be_a_file_is_for_a_person(tmp_path: Path) -> None:
    (tmp_path / "bme280.jsonl").mkdir()
    async with connected(tmp_path) as sink:
        why = (await write(sink, 1))[0]
        assert isinstance(why, Retry)
        assert why.needs_operator
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", Path("/proc/nowhere")):
        with pytest.raises(ConfigError, match=r"cannot be written to: .*; set file.folder"):
            await FileSink(FileSinkConfig(folder=folder), [], "b").probe()


async def test_many_paths_do_not_keep_many_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.sinks.file.folder.OPEN_FILES", 2)
    table = RouteTable([RouteConfig(topic="#", file="{device_id}.jsonl")])
    async with connected(tmp_path, table) as sink:
        for repeat in range(3):
            batch = [routed(repeat * 5 + number, f"d{number}", table) for number in range(5)]
            assert {sink.queue_key(one) for one in batch} == {"{device_id}.jsonl"}
            assert not await sink.write("lane", batch)
            assert len(sink._folder._files) == 2
    assert [seqs(tmp_path / f"d{number}.jsonl") for number in range(5)] == [
        [number, number + 5, number + 10] for number in range(5)
    ]


SCRIPT = """
import asyncio, sys
from pathlib import Path
from bridge.routing.table import RouteTable
from bridge.sinks.file.config import FileSinkConfig
from bridge.sinks.file.sink import FileSink
from bridge.spool.message import SpooledMessage
TABLE = RouteTable()
PAYLOAD = '{"device_id":"a","timestamp":"2026-03-01T12:00:00.000Z","boot":1,"seq":%d}'
def routed(number):
    payload = (PAYLOAD % number).encode()
    return TABLE.resolve(SpooledMessage(number, 0, "edge/s/bme280/a/telemetry", payload, 1, False, False))
async def main():
    config = FileSinkConfig(folder=Path(sys.argv[1]), max_bytes=4096, compression="gzip")
    sink = FileSink(config, TABLE.targets_in("file"), "b")
    await sink.connect()
    number = int(sys.argv[2])
    while True:
        assert not await sink.write("lane", [routed(number + one) for one in range(7)])
        number += 7
        print(number, flush=True)
asyncio.run(main())
"""


def left(folder: Path, names: str = "bme280*") -> list[str]:
    """Files with lines, the oldest first; one that a kill left both compressed and not is there once."""
    return sorted(path.name for path in folder.glob(names) if not Path(f"{path}.gz").exists())


@pytest.mark.slow
async def test_sigkill_leaves_whole_lines_and_everything_that_was_reported(tmp_path: Path) -> None:
    reported = 1
    for _ in range(4):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SCRIPT, str(tmp_path), str(reported), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout
        for _ in range(20):
            reported = int(await process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        for line in (await process.stdout.read()).splitlines():
            reported = int(line)
        await process.wait()
    async with connected(tmp_path) as sink:
        assert not await write(sink, reported)
    found = {seq for name in left(tmp_path) for seq in seqs(tmp_path / name)}
    assert found >= set(range(1, reported + 1))


async def test_a_folder_that_was_still_being_taken_is_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload or a stop may come while the sink connects."""
    begun, let, taken, take = threading.Event(), threading.Event(), threading.Event(), Folder.lock

    def slowly(self: Folder) -> None:
        begun.set()
        assert let.wait(10)
        take(self)
        taken.set()

    monkeypatch.setattr(Folder, "lock", slowly)
    sink = FileSink(FileSinkConfig(folder=tmp_path), TABLE.targets_in("file"), "b")
    connecting = asyncio.create_task(sink.connect())
    await eventually(begun.is_set)
    connecting.cancel()
    await asyncio.wait([connecting])
    closing = asyncio.create_task(sink.close())
    await asyncio.sleep(0)
    let.set()
    await closing
    await eventually(taken.is_set)
    async with connected(tmp_path):
        pass

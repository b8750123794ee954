"""Puts out what GPS receivers say at their serial lines: NMEA sentences, on TCP ports and pseudo-terminals."""

import asyncio
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import orjson

from devices.scenario.devices import Shard, all_devices
from devices.scenario.scenario import Scenario
from devices.sensors.gps.nmea_output import AUTO, NmeaOutput, nmea_output
from devices.timeline.timeline import Timeline
from edgewire import logs
from edgewire.errors import ConfigError, ServiceUnavailable

if sys.platform != "win32":
    import fcntl
    import termios
    import tty

EPOCH_MS = 1000
LONGEST_PAUSE_S = 1.0
SHORTEST_PAUSE_S = 0.1
"""Where device time runs faster than the wall's, no receiver says more than ten epochs a second, as real ones."""
MOST_READERS = 8
MOST_UNREAD = 64 * 1024
"""Bytes that wait for a reader before it is cut off: a minute or so."""

log = logs.get("nmea")


class ReceiverLine(Protocol):
    """Is where one receiver is heard."""

    @property
    def address(self) -> str:
        """Return where, for a user: a URL or a path."""
        ...

    async def open(self) -> None:
        """Begin; raises `ServiceUnavailable` where it cannot."""
        ...

    def send(self, epoch: bytes) -> None:
        """Say an epoch to whoever listens, and never wait."""
        ...

    async def close(self) -> None:
        """End."""
        ...


class ReceiverOutputs:
    """Says the sentences of those receivers of a fleet that a scenario wants heard, second by second."""

    def __init__(
        self,
        scenario: Scenario,
        powered_on_ms: int,
        shard: Shard,
        device_time_ms: Callable[[], int],
        seconds_until: Callable[[int], float],
    ) -> None:
        """Take the devices of a shard, powered on at `powered_on_ms`.

        `device_time_ms` is what their clocks show, `seconds_until` how far away a time of theirs is.
        """
        self._device_time_ms = device_time_ms
        self._seconds_until = seconds_until
        wanted = dict(_wanted(scenario))
        self._timeline: Timeline | None = None
        self._lines: list[ReceiverLine] = []
        self.device_ids: list[str] = []
        if not wanted:
            return
        self._timeline = Timeline(_with_sentences(scenario), powered_on_ms, shard, only=wanted)
        self.device_ids = [device.device_id for device in self._timeline.devices]
        self._lines = [wanted[device_id] for device_id in self.device_ids]

    async def open(self) -> None:
        """Begin to be heard; raises `ServiceUnavailable` where one cannot, and then none is."""
        try:
            for device_id, line in zip(self.device_ids, self._lines, strict=True):
                await line.open()
                log.info("receiver is heard", device=device_id, at=line.address)
        except ServiceUnavailable:
            await self.close()
            raise

    async def serve(self) -> None:
        """Put epochs out until cancelled."""
        while self._lines:
            now_ms = self._device_time_ms()
            due_ms = (now_ms // EPOCH_MS + 1) * EPOCH_MS
            left_s = self._seconds_until(due_ms)
            # Time may come to pass faster meanwhile.
            await asyncio.sleep(min(max(left_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S))
            if left_s > LONGEST_PAUSE_S:
                continue
            # The second that has begun; where time runs faster, the newest of those that have.
            at_ms = max(self._device_time_ms() // EPOCH_MS * EPOCH_MS, due_ms)
            for line, epoch in zip(self._lines, await asyncio.to_thread(self._epochs, at_ms), strict=True):
                line.send(epoch)

    async def close(self) -> None:
        """End all."""
        for line in self._lines:
            await line.close()

    def _epochs(self, at_ms: int) -> list[bytes]:
        """Return what each receiver says of an instant."""
        assert self._timeline is not None
        said = (self._timeline.read_now(position, at_ms) for position in range(len(self._lines)))
        return [
            b"".join(f"{sentence}\r\n".encode() for one in messages for sentence in orjson.loads(one.payload)["nmea"])
            for messages in said
        ]


def _wanted(scenario: Scenario) -> Iterator[tuple[str, ReceiverLine]]:
    """Yield the ids of devices that are to be heard, and where."""
    # Most fleets have none; to go through a quarter of a million devices takes 1.6 s of a core, and of each process.
    if all(nmea_output(group.settings) is None for group in scenario.devices):
        return
    numbers: dict[int, int] = {}
    for device, group in all_devices(scenario):
        output = nmea_output(group.settings)
        if output is None:
            continue
        number = numbers[id(group)] = numbers.get(id(group), -1) + 1
        yield device.device_id, _line(output, number, device.device_id)


def _line(output: NmeaOutput, number: int, device_id: str) -> ReceiverLine:
    if output.tcp is not None:
        host, port = output.tcp_address
        return TcpLine(host, port + number)
    if sys.platform == "win32":
        raise ConfigError("nmea: pty: Windows has no pseudo-terminals that another program opens: use tcp")
    path = str(output.pty)
    return PtyLine(None if path == AUTO else Path(path.replace("{id}", device_id)))


def _with_sentences(scenario: Scenario) -> Scenario:
    """Return the scenario in whose messages receivers that are to be heard have their sentences."""
    groups = []
    for group in scenario.devices:
        if nmea_output(group.settings) is not None:
            # A receiver speaks at its interval, whatever its device publishes of that.
            group = group.model_copy(update={"settings": {**group.settings, "nmea": True}, "on": None})
        groups.append(group)
    return scenario.model_copy(update={"devices": tuple(groups)})


class TcpLine:
    """Lets several programs listen to a receiver on a TCP port, as a serial server does."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._readers: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """Return it as gpsd takes it."""
        return f"tcp://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    @property
    def listeners(self) -> int:
        """Return how many programs listen now."""
        return len(self._readers)

    async def open(self) -> None:
        """Listen."""
        try:
            self._server = await asyncio.start_server(self._on_reader, self._host, self._port)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise ServiceUnavailable(f"nmea: no receiver can be heard at {self.address}: {why}") from None

    async def _on_reader(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep a program among the listeners until it goes. What it sends, as gpsd does to find a receiver's maker, is
        not heeded."""
        if len(self._readers) >= MOST_READERS:
            log.warning("one program too many wants to hear a receiver", at=self.address, most=MOST_READERS)
            writer.close()
            return
        self._readers.add(writer)
        try:
            with suppress(OSError):
                while await reader.read(4096):
                    pass
        finally:
            self._readers.discard(writer)
            writer.close()

    def send(self, epoch: bytes) -> None:
        """Say an epoch to all that listen; who has not read a minute of them is cut off."""
        for writer in list(self._readers):
            if writer.transport.get_write_buffer_size() > MOST_UNREAD:
                log.warning("a program that hears a receiver reads too slowly and was cut off", at=self.address)
                self._readers.discard(writer)
                writer.transport.abort()
            elif not writer.is_closing():
                writer.write(epoch)

    async def close(self) -> None:
        """Stop listening, and let go of who listens."""
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._readers):
            writer.transport.abort()
        await self._server.wait_closed()


class PtyLine:
    """Lets a program open a receiver as a serial device. `link` is where its name is to be found; None for nowhere."""

    def __init__(self, link: Path | None = None) -> None:
        self._link = link
        self._ours = self._theirs = -1
        self.device = ""
        """Such as /dev/pts/3; empty while it is not open."""

    @property
    def address(self) -> str:
        """Return the path to open."""
        return self.device if self._link is None else f"{self._link} ({self.device})"

    async def open(self) -> None:
        """Make the pseudo-terminal, raw as a serial line, and the link."""
        try:
            # Theirs stays open here as well: else the line would be dead whenever nobody listens.
            self._ours, self._theirs = os.openpty()
        except OSError as error:
            raise ServiceUnavailable(f"nmea: no pseudo-terminal could be made: {error.strerror}") from None
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self.device = os.ttyname(self._theirs)
        asyncio.get_running_loop().add_reader(self._ours, self._discard)
        if self._link is not None:
            self._make_link(self._link)

    def _make_link(self, link: Path) -> None:
        if link.is_symlink() and not link.exists():
            link.unlink()  # of a run that was killed: its terminal is gone
        try:
            link.symlink_to(self.device)
        except OSError as error:
            self._link = None  # it is somebody else's
            raise ServiceUnavailable(f"nmea: the link {link} could not be made: {error.strerror}") from None

    def _discard(self) -> None:
        """Take what a program writes to the line: a receiver that heeds no commands."""
        with suppress(OSError):
            os.read(self._ours, 4096)

    def send(self, epoch: bytes) -> None:
        """Say an epoch. What nobody has read by then is gone, as on a line; half a sentence is never said."""
        unread = int.from_bytes(fcntl.ioctl(self._theirs, termios.FIONREAD, b"\0" * 4), sys.byteorder)
        if unread > _MOST_IN_TTY - len(epoch):
            termios.tcflush(self._theirs, termios.TCIFLUSH)
        try:
            os.write(self._ours, epoch)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise

    async def close(self) -> None:
        """End the line; who has it open reads its end."""
        if self._ours < 0:
            return
        asyncio.get_running_loop().remove_reader(self._ours)
        if self._link is not None:
            with suppress(OSError):
                self._link.unlink()
        for one in (self._ours, self._theirs):
            os.close(one)
        self._ours = self._theirs = -1


_MOST_IN_TTY = 4095
"""Bytes that Linux keeps for who reads a terminal."""

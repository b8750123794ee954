"""An HTTP server that takes every batch, and remembers when it had each message: `http_taker.py PORT`.

What it has is asked for with GET: how many messages came, how many of them for the first time, and how long after they
were sent, in milliseconds. It is a program of its own, so that its time is not the bridge's.
"""

import asyncio
import json
import re
import sys
import time

# As it was sent, or as a text within JSON.
MESSAGE = re.compile(rb'"number\\?":(\d+),\\?"sent_ms\\?":(\d+)')


class Taker(asyncio.Protocol):
    """One connection."""

    arrivals = 0
    seen: set[int] = set()
    took_ms: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._data = bytearray()

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._data[:end]).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._data) < end + 4 + length:
                return
            body = bytes(self._data[end + 4 : end + 4 + length])
            del self._data[: end + 4 + length]
            if head.startswith(b"get "):
                said = self._report(reset=b"/reset" in head)
                self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(said) + said)
            else:
                self._take(body)
                self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    def _take(self, body: bytes) -> None:
        now_ms = time.time_ns() // 1_000_000
        for text, sent_ms in MESSAGE.findall(body):
            Taker.arrivals += 1
            number = int(text)
            if number not in Taker.seen:
                Taker.seen.add(number)
                Taker.took_ms.append(now_ms - int(sent_ms))

    def _report(self, *, reset: bool) -> bytes:
        took = sorted(Taker.took_ms)
        if reset:
            Taker.took_ms.clear()
        counts = {"arrivals": Taker.arrivals, "messages": len(Taker.seen)}
        return json.dumps({**counts, "took_ms": percentiles_of(took)}).encode()


def percentiles_of(took: list[int]) -> dict[str, int]:
    """Return p50, p95, p99 and the most of what is in order; nothing of nothing."""
    return {str(share): took[min(int(len(took) * share), len(took) - 1)] for share in (0.5, 0.95, 0.99, 1) if took}


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Taker, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

"""Waits for a broker that is not there yet, before a command begins with it: the option `--wait`."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from edgefleet.cli.common import parse_duration
from edgefleet.terminal import echo

if TYPE_CHECKING:
    from edgewire.link import BrokerUrl

LOOK_S = 0.25
DIAL_S = 5.0
"""How long one attempt may take."""

Wait = Annotated[
    str, typer.Option(envvar="EDGEFLEET_WAIT", help="Wait so long for a broker that is not there yet: 60s, 5m.")
]


def parse_wait(text: str) -> float:
    """Return the seconds of `--wait`; raises `ConfigError`."""
    return parse_duration("--wait", text, least_ms=0) / 1000


async def wait_for_broker(urls: Sequence["BrokerUrl"], wait_s: float) -> None:
    """Return once something listens at one of the URLs, or the time is over: then the command says what is wrong."""
    import asyncio

    loop = asyncio.get_running_loop()
    until_s, told = loop.time() + wait_s, False
    while (left_s := until_s - loop.time()) > 0:
        if any([await _listens(url, min(DIAL_S, left_s)) for url in urls]):
            return
        if not told:
            told = True
            echo(
                f"edgefleet: waiting up to {wait_s:g} s for {', '.join(map(str, urls))}: nothing listens there",
                err=True,
            )
        await asyncio.sleep(min(LOOK_S, max(0.0, until_s - loop.time())))


async def _listens(url: "BrokerUrl", limit_s: float) -> bool:
    import asyncio

    from edgewire.link.transport import UrlForm

    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(limit_s):
            if url.kind.form is UrlForm.FILE:
                _, writer = await asyncio.open_unix_connection(url.path)
            else:
                _, writer = await asyncio.open_connection(url.host, url.port)
        writer.close()
        return True
    return False

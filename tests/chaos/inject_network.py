"""Faults of the network between the bridge and one of its neighbours, made by the proxy there."""

import re
from collections.abc import Callable

from tests.chaos.inject_bridge import wait_for_words
from tests.chaos.proxy import Direction, Proxy
from tests.chaos.run import Injection, Run

Part = Callable[[Run, Proxy], None]
_NOT_VALID = re.compile("certificate has expired|certificate verify failed.*whether the certificates have ended")
"""Librdkafka does not tell which of all that can be wrong with a certificate it is."""


def on(link: str, *parts: Part) -> Injection:
    """One of `parts`, chosen by chance, on one of the links."""

    def inject(run: Run) -> None:
        run.pause(0.1, 0.8)
        proxy = run.services.proxies[link]
        run.rng.choice(parts)(run, proxy)
        run.services.background.do(proxy.heal)

    return inject


def resets(run: Run, proxy: Proxy) -> None:
    for _ in range(run.rng.randint(2, 5)):
        if run.services.background.do(proxy.reset):
            run.injected += 1
        run.pause(0.05, 0.5)


def stall(run: Run, proxy: Proxy) -> None:
    run.services.background.do(proxy.stall)
    run.injected += 1
    run.pause(0.3, 2.5)


def silence(run: Run, proxy: Proxy) -> None:
    """Connections are cut, and new ones get no answer."""

    def hush() -> None:
        proxy.reset()
        proxy.silent = True

    run.services.background.do(hush)
    run.injected += 1
    run.pause(0.5, 2.0)


def one_way(run: Run, proxy: Proxy) -> None:
    """One direction is dead. What was held either arrives late or never."""
    way = run.rng.choice(list(Direction))
    run.services.background.do(lambda: proxy.stall(way))
    run.injected += 1
    run.pause(0.5, 2.5)
    if run.rng.random() < 0.5:
        run.services.background.do(proxy.reset)


def certificate_ends(link: str) -> Injection:
    """The certificate on a link has ended: no new connection is taken until it is renewed, and the bridge says why."""

    def inject(run: Run) -> None:
        assert run.certificates is not None, "the fault needs tls"
        run.pause(0.1, 0.8)
        run.services.listen(link, run.certificates.context(ended=True))
        run.services.background.do(run.services.proxies[link].reset)
        run.injected += 1
        if run.rng.random() < 0.3:
            # A bridge that starts meanwhile waits for the new one.
            run.bridge.kill()
            run.bridge.start()
        try:
            wait_for_words(run, _NOT_VALID)
            run.pause(0.0, 1.5)
        finally:
            run.services.listen(link, run.certificates.context())

    return inject


def delay(run: Run, proxy: Proxy) -> None:
    proxy.delay_s = run.rng.uniform(0.02, 0.2)
    run.injected += 1
    run.pause(0.8, 2.0)


def throttle(run: Run, proxy: Proxy) -> None:
    proxy.bytes_per_s = run.rng.uniform(20_000, 60_000)
    run.injected += 1
    run.pause(0.8, 1.8)

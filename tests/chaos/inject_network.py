"""Faults of the network between the bridge and one of its neighbours, made by the proxy there."""

from collections.abc import Callable

from tests.chaos.proxy import Direction, Proxy
from tests.chaos.run import Injection, Run

Part = Callable[[Run, Proxy], None]


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


def delay(run: Run, proxy: Proxy) -> None:
    proxy.delay_s = run.rng.uniform(0.02, 0.2)
    run.injected += 1
    run.pause(0.8, 2.0)


def throttle(run: Run, proxy: Proxy) -> None:
    proxy.bytes_per_s = run.rng.uniform(20_000, 60_000)
    run.injected += 1
    run.pause(0.8, 1.8)

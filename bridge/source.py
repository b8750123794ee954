"""The subscriber: a persistent session whose messages are acknowledged only when they are in the spool.

`connection` keeps it connected and `intake` takes its messages; here is what others may ask of it: to stop, to go on
with another configuration, and to end its session for good.
"""

import asyncio

from bridge.config import BridgeConfig
from bridge.connection import OLD_VERSION, Connection, TakenOver
from bridge.session import ending_config, probe_config, session_config, subscriptions, tls_context
from edgewire import logs
from edgewire.errors import ConfigError, ServiceUnavailable
from edgewire.link import BrokerRefused, BrokerUrl, Link, dial, part
from edgewire.mqtt import FAILURE, Session, Unsendable, Version

__all__ = ["Source", "TakenOver"]

_QUIET_ROUNDS = 3
_ROUND_S = 0.2

log = logs.get("source")


class Source(Connection):
    """Keeps one session with the broker: `run` until `stop`, then `close`."""

    def stop(self) -> None:
        """Take nothing in any more; what was received may still be acknowledged."""
        self._stopping = self._intake.halted = True
        self._intake.steer(self._link)

    async def close(self) -> None:
        """Say DISCONNECT. The broker keeps the session."""
        if self._link:
            await part(self._link)

    def committed(self) -> None:
        """The spool has written something: there may be room again."""
        self._intake.steer(self._link)

    @property
    def unacknowledged_s(self) -> float:
        """Age of the oldest message that waits for its commit."""
        return self._intake.waiting_s()

    @property
    def warnings(self) -> list[str]:
        """What an operator should know although messages are received."""
        return [OLD_VERSION] if self._link is not None and self._session.version is Version.V311 else []

    # -- another configuration

    async def change(self, config: BridgeConfig, *, proven: bool = False) -> None:
        """Go on with another configuration. Raises `ConfigError`, and goes on as before, where it cannot be.

        Unless it is `proven`, the broker is asked first whether it lets us in with it. Nothing is lost: filters are
        exchanged in the session as it is, and for anything else the connection is renewed once all that it brought is
        acknowledged.
        """
        tls_context(config)
        old = self._config
        if _connecting(old) != _connecting(config):
            if not proven:
                await self._try_out(config)
            await self._renew(config)
        elif subscriptions(old) != subscriptions(config):
            await self._resubscribe(config)
        else:
            self._config = config

    async def _try_out(self, config: BridgeConfig) -> None:
        """Connect beside our session. Raises `ConfigError` where the broker refuses, or is there for the old alone."""
        timeout_s = config.mqtt.connect_timeout / 1000
        session = Session(probe_config(config))
        try:
            link = await dial(
                BrokerUrl.parse(config.broker), session, lambda *_: None, tls=tls_context(config), timeout_s=timeout_s
            )
        except BrokerRefused as error:
            raise ConfigError(str(error)) from None
        except ServiceUnavailable as error:
            if self._link is not None:
                raise ConfigError(str(error)) from None
        else:
            await part(link)

    async def _renew(self, config: BridgeConfig) -> None:
        self._renewing = self._intake.halted = True
        self._intake.steer(self._link)
        await self._spool.idle()
        link, self._link = self._link, None  # its end is no news
        self._adopt(config)
        self.trouble = "the connection is being renewed with other settings"
        if link:
            link.close()

    async def _resubscribe(self, config: BridgeConfig) -> None:
        """Subscribe to what is new, then unsubscribe what is gone: in between both come, never neither."""
        await self._held.expect(config.subscriptions)
        before, after = subscriptions(self._config), subscriptions(config)
        link = self._link
        if link is None or self.trouble:
            self._config = config
            if link:
                link.abort()  # it is about to subscribe to the old ones
            return
        new = [one for one in after if one not in before]
        try:
            codes = await self._answered(link.subscribe, new) if new else ()
        except Unsendable as error:
            raise ConfigError(f"broker {self._broker} has no such subscriptions: {error}") from None
        for one, code in zip(new, codes or (), strict=False):
            if code >= FAILURE:
                await self._unsubscribe(link)
                raise ConfigError(self._refusal(one.filter, code))
        self._config = config
        await self._unsubscribe(link)

    # -- the end of the session

    async def drain(self) -> None:
        """Unsubscribe, and take in what the broker still holds for us; on return there is nothing left of it.

        A broker answers in order, so what it was sending comes before UNSUBACK, and it sends more only as it gets
        acknowledgements: a round is quiet when all of these had left before it began.
        """
        self._draining = True
        quiet = 0
        while quiet < _QUIET_ROUNDS and not self._emptied:
            link, taken, settled = self._link, self._intake.taken, self._intake.settled
            answer = await self._ask_to_end(link) if link else None
            quiet = quiet + 1 if answer is not None and settled and taken == self._intake.taken else 0
            await asyncio.sleep(_ROUND_S)
            while not self._intake.settled:  # noqa: ASYNC110 - a stuck one ends with its connection
                await asyncio.sleep(_ROUND_S)

    async def _ask_to_end(self, link: Link) -> tuple[int, ...] | None:
        filters = {*self._config.subscriptions, *self._held.besides(())}
        return await self._answered(link.unsubscribe, sorted(filters))

    async def end_session(self) -> None:
        """After `drain`: make the broker forget us. Raises `ServiceUnavailable` or `BrokerRefused`."""
        self.stop()
        await self.close()
        session = Session(ending_config(self._config), self._session.version)
        timeout_s = self._config.mqtt.connect_timeout / 1000
        link = await dial(self._broker, session, lambda *_: None, tls=self._tls, timeout_s=timeout_s)
        await part(link)
        await self._held.only(())
        log.info("session ended", broker=str(self._broker))


def _connecting(config: BridgeConfig) -> tuple[object, ...]:
    """Everything that only another connection can change."""
    mqtt = config.mqtt
    return config.broker, session_config(config), mqtt.ca_file, mqtt.certificate, mqtt.key

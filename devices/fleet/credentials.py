"""Tells who each device says it is: by password or by certificate, from the folder of `edgefleet provision`."""

import csv
import ssl
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import orjson

from devices.fleet.hub_login import HubLogin
from devices.scenario.identity_table import Login
from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl
from edgewire.link.transport import TransportType
from edgewire.pem import explain_certificates, explain_pair
from edgewire.tls import RenewedContext, client_context

SETTINGS = "identities.json"
CREDENTIALS = "credentials.csv"
DEVICES_FOLDER = "devices"

OPERATOR = "edgefleet-operator"
"""User name of people and tools, as which the fleet also asks a broker what it is."""


class Identities:
    """Holds the identities of these devices, and of the operator.

    Without a folder everybody is whom the broker's URL names, and the system's certificates are trusted, or `ca_file`.
    """

    def __init__(
        self,
        folder: Path | None,
        brokers: Sequence[BrokerUrl],
        device_ids: Collection[str] = (),
        ca_file: Path | None = None,
        *,
        alpn: tuple[str, ...] = (),
        insecure: bool = False,
        logins: Mapping[str, Login] | None = None,
        names: Mapping[str, str] | None = None,
        hubs: Mapping[str, HubLogin] | None = None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """Read what these devices need; `logins` are those of files of identities, by their client ids.

        `names` are the ids of devices whose client ids are others, by these; `hubs` those who log in to a hub by a
        certificate or a token, whose end is reckoned from `wall_s`, in seconds since 1970 UTC.

        Raises `ConfigError` where the folder has not all of it, or a certificate would never be shown.
        """
        self._logins = dict(logins or {})
        self._names = dict(names or {})
        self._hubs = dict(hubs or {})
        self._wall_s = wall_s
        self._any_hub = None if self._logins.keys() - self._hubs.keys() else next(iter(self._hubs.values()), None)
        # Nobody else may be known to the broker: who only asks what it is does so as one of them.
        self._stranger = next(iter(self._logins.values()), None)
        self._folder = folder
        self._ca = ca_file
        self._alpn = alpn
        self._insecure = insecure
        self._device_ids = frozenset(device_ids) if folder else frozenset()
        self._passwords: dict[str, str] | None = None
        self._certificates = False
        secure = any(broker.uses_tls for broker in brokers)
        if folder is not None:
            plain = next((broker for broker in brokers if not broker.uses_tls), None)
            if plain:
                raise ConfigError(f"identities: broker {plain} is not dialled with TLS; write mqtts://")
            self._read(folder, device_ids)
        elif ca_file and not secure:
            raise ConfigError("ca_file: no broker is dialled with TLS; write mqtts:// or leave it out")
        if not secure and any(login.certificate for login in self._logins.values()):
            raise ConfigError("identities: has certificates, and no broker is dialled with TLS; write mqtts://")
        # One for all where it is the same for all: each would read the system's certificates again.
        kinds = {broker.kind for broker in brokers if broker.uses_tls}
        self._shared = {} if self._certificates else {kind: self._renewed(kind) for kind in kinds}

    def token_life_s(self, client_id: str) -> float | None:
        """Return for how long what a client logs in with is good, in seconds; None where it is for good."""
        hub = self._hubs.get(client_id)
        return None if hub is None or hub.key is None else hub.lifetime_s

    def credentials_for(self, client_id: str, broker: BrokerUrl) -> tuple[str | None, bytes | None]:
        """Return user name and password for CONNECT to this broker; a token is good from now on."""
        if (hub := self._hubs.get(client_id, self._any_hub)) is not None:
            token = hub.password(broker, self._wall_s())
            return hub.username(broker), None if token is None else token.encode()
        if (login := self._login(client_id, broker)) is not None and login.username is not None:
            password = login.password
            if password is None and self._passwords is not None:
                password = self._passwords.get(login.username)
            return login.username, None if password is None else password.encode()
        if self._passwords is not None:
            name = self._name(client_id)
            return name, self._passwords[name].encode()
        if self._certificates:
            return None, None
        password = broker.password
        return broker.username, None if password is None else password.encode()

    @property
    def knows_hubs(self) -> bool:
        """Return whether who connects does so as a device of a hub, which has no topics of its own state."""
        return self._any_hub is not None

    def asker(self, client_id: str) -> str:
        """Return as which client to ask a broker what it is: a hub knows devices alone, and by their client ids."""
        return client_id if self._any_hub is None else self._any_hub.device_id

    def alpn(self, broker: BrokerUrl) -> tuple[str, ...]:
        """Return the protocols of which this broker has to choose one."""
        return self._alpn if broker.kind.takes_alpn else ()

    def tls(self, client_id: str, broker: BrokerUrl) -> ssl.SSLContext | None:
        """Return what to connect to a broker over TLS with. One with a certificate is made for this and not kept."""
        if (login := self._login(client_id, broker)) is not None and login.certificate is not None:
            return self._own_context(broker.kind, login.certificate, login.key)
        if not self._certificates:
            shared = self._shared.get(broker.kind)
            return None if shared is None else shared.current()
        assert self._folder is not None
        name = self._name(client_id)
        path = (self._folder if name == OPERATOR else self._folder / DEVICES_FOLDER) / f"{name}.pem"
        return self._own_context(broker.kind, path, None, "; run edgefleet provision again")

    def _own_context(self, kind: TransportType, certificate: Path, key: Path | None, fix: str = "") -> ssl.SSLContext:
        context = self._context(kind)
        try:
            # A key that wants a password would ask for it at the terminal.
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ssl.SSLError) as error:
            why = explain_pair(certificate, key, error)
            raise ConfigError(f"identities: {key or certificate} cannot be read: {why}{fix}") from None
        return context

    def _login(self, client_id: str, broker: BrokerUrl) -> Login | None:
        """Return how a client of this id logs in by a file of identities; None where none says."""
        found = self._logins.get(client_id)
        if found is None and broker.username is None and self._passwords is None and not self._certificates:
            return self._stranger
        return found

    def _name(self, client_id: str) -> str:
        name = self._names.get(client_id, client_id)
        return name if name in self._device_ids else OPERATOR

    def _renewed(self, kind: TransportType) -> RenewedContext:
        return RenewedContext(lambda: self._context(kind), self._ca)

    def _context(self, kind: TransportType) -> ssl.SSLContext:
        try:
            return client_context(self._ca, alpn=self._alpn if kind.takes_alpn else (), insecure=self._insecure)
        except (OSError, ssl.SSLError) as error:
            what, fix = (
                ("identities", "run edgefleet provision again") if self._folder else ("ca_file", "correct its name")
            )
            reason = str(error) if self._ca is None else explain_certificates(self._ca, error)
            raise ConfigError(f"{what}: {self._ca} cannot be read: {reason}; {fix}") from None

    def _read(self, folder: Path, device_ids: Collection[str]) -> None:
        try:
            settings = orjson.loads((folder / SETTINGS).read_bytes())
            self._ca = folder / settings["ca"]
            self._certificates = settings["auth"] == "certificate"
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            raise ConfigError(
                f"identities: {folder} holds no identities; make them with edgefleet provision SCENARIO --out {folder}"
            ) from None
        logins = {self._names.get(client_id, client_id): login for client_id, login in self._logins.items()}
        own = {device_id: logins.get(device_id, Login()) for device_id in device_ids}
        if self._certificates:
            known = {path.name.removesuffix(".pem") for path in (folder / DEVICES_FOLDER).glob("*.pem")}
            missing = [name for name, login in own.items() if login.certificate is None and name not in known]
        else:
            users = {name: login.username or name for name, login in own.items() if login.password is None}
            self._passwords = _passwords(folder / CREDENTIALS, {OPERATOR, *users.values()})
            missing = [name for name, user in users.items() if user not in self._passwords]
        if missing:
            raise ConfigError(
                f"identities: {folder} has none for '{missing[0]}'{_and_more(len(missing) - 1)}; add them with "
                f"edgefleet provision SCENARIO --out {folder}"
            )


def _passwords(path: Path, wanted: set[str]) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            if next(rows, None) == ["username", "password"]:
                return dict((user, password) for user, password in rows if user in wanted)  # noqa: C402 - what the two are
    except OSError as error:
        raise ConfigError(
            f"identities: {path} cannot be read: {error.strerror}; run edgefleet provision again"
        ) from None
    except (ValueError, csv.Error):
        pass  # not two in a row, no text, or a field without an end
    raise ConfigError(f"identities: {path} is no list of user names and passwords; run edgefleet provision again")


def _and_more(count: int) -> str:
    return f" and {count:,} more" if count else ""

"""Every session that the bridge has with the broker, and its subscriptions, made from the configuration."""

import ssl
from dataclasses import replace
from typing import TypedDict

from bridge.config import BridgeConfig
from edgewire.link import WebHandshake
from edgewire.mqtt import SessionConfig, Subscription
from edgewire.mqtt.filters import covers, is_shared
from edgewire.tls import RenewedContext, configured_context

_RETAIN_HANDLING = {"always": 0, "new": 1, "never": 2}


def session_config(config: BridgeConfig) -> SessionConfig:
    """Return the session in which the bridge receives."""
    broker = config.brokers[0]
    return SessionConfig(
        client_id=config.client_id,
        clean_start=False,
        keep_alive_s=config.mqtt.keep_alive // 1000,
        session_expiry_s=config.mqtt.session_expiry // 1000,
        receive_maximum=config.mqtt.receive_maximum,
        maximum_packet_size=config.mqtt.maximum_packet_size,
        username=broker.username,
        password=broker.password.encode() if broker.password is not None else None,
        manual_ack=True,
    )


def watch_config(config: BridgeConfig) -> SessionConfig:
    """Return that of the connection that listens to what the broker says of itself; the broker keeps nothing for it."""
    return replace(
        session_config(config),
        client_id=f"{config.client_id}-watch",
        clean_start=True,
        session_expiry_s=0,
        receive_maximum=65535,
        manual_ack=False,
    )


def dead_letters_config(config: BridgeConfig) -> SessionConfig:
    """Return that of the connection that publishes dead letters; the spool knows what is not yet acknowledged."""
    return replace(watch_config(config), client_id=f"{config.client_id}-dead-letters")


def probe_config(config: BridgeConfig) -> SessionConfig:
    """Return that of a connection which only finds out whether the broker lets us in, beside the one at work."""
    return replace(session_config(config), client_id=f"{config.client_id}-check", clean_start=True, session_expiry_s=0)


def ending_config(config: BridgeConfig) -> SessionConfig:
    """Return the session of the bridge, to be forgotten by the broker with all that it holds."""
    return replace(session_config(config), clean_start=True, session_expiry_s=0)


def subscriptions(config: BridgeConfig) -> list[Subscription]:
    """Return what the bridge subscribes to. Retained messages come as `mqtt.retained` says, and go the usual way.

    A shared subscription gets none of them, whatever it asks for (4.8.2), and may not be `no_local`.
    """
    handling = _RETAIN_HANDLING[config.mqtt.retained]
    return [Subscription(topic, qos=config.mqtt.qos, retain_handling=handling) for topic in effective_filters(config)]


def effective_filters(config: BridgeConfig) -> tuple[str, ...]:
    """Return the configured filters without those that another covers: a broker sends a message once for each filter.

    Of a shared subscription only a repetition is left out: its group has a part of what the filter inside it matches.
    """
    left: list[str] = []
    filters = list(dict.fromkeys(config.filters))
    for topic in filters:
        others = [one for one in filters if one != topic and not is_shared(one)]
        if is_shared(topic) or not any(covers(one, topic) for one in others):
            left.append(topic)
    return tuple(left)


class Dialling(TypedDict):
    """What every connection to the broker is made with, besides its certificates."""

    timeout_s: float
    alpn: tuple[str, ...]
    web: WebHandshake


def dialling(config: BridgeConfig) -> Dialling:
    """Return it as arguments of `connect_link`."""
    mqtt = config.mqtt
    return {"timeout_s": mqtt.connect_timeout / 1000, "alpn": mqtt.alpn, "web": mqtt.websocket.handshake}


def tls_context(config: BridgeConfig) -> ssl.SSLContext | None:
    """Return the certificates to trust and to show at its first broker, if it names any. Raises `ConfigError`."""
    return _make_context(config) if _has_own_tls(config) else None


def renewed_tls(config: BridgeConfig) -> RenewedContext | None:
    """Return what gives each connection its `tls_context`, certificates that were renewed too. Raises `ConfigError`."""
    if not _has_own_tls(config):
        return None
    mqtt = config.mqtt
    return RenewedContext(lambda: _make_context(config), mqtt.ca_file, mqtt.certificate, mqtt.key)


def _has_own_tls(config: BridgeConfig) -> bool:
    mqtt = config.mqtt
    if not config.brokers[0].kind.uses_tls:
        return False  # another of the list may
    return bool(mqtt.ca_file or mqtt.certificate or mqtt.insecure or mqtt.alpn)


def _make_context(config: BridgeConfig) -> ssl.SSLContext:
    mqtt, kind = config.mqtt, config.brokers[0].kind
    alpn = mqtt.alpn if kind.takes_alpn else ()
    return configured_context("mqtt", mqtt.ca_file, mqtt.certificate, mqtt.key, alpn=alpn, insecure=mqtt.insecure)

"""Says which words of an installation may be copied: those that tell nobody's name, place or secret by their shape.

Free text is never copied: of texts, only words that states of devices have, under a key that is not of a person, an
account or a network. Levels of topics and keys stay where several devices share them, as who receives them rests on
them.
"""

import re
from collections.abc import Iterable


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SENSITIVE = words_of(
    """
    pass passwd password passphrase passcode pwd psk secret token key apikey auth authorization bearer
    credential credentials cert certificate user users username login account accounts name names firstname
    lastname surname nickname alias owner owners person people people's customer client clientid patient
    employee driver tenant family resident guest contact mail mails email emails ssid bssid wifi phone telephone
    tel mobile msisdn fax address addr street city town zip zipcode postcode postal house home plate vin imei
    imsi iccid iban card pin puk otp ssn serial sn mac ip ipv4 ipv6 host hostname url uri link href session
    cookie comment comments note notes message msg text title label description descr desc image photo picture
    """
)
_SENSITIVE_INSIDE = ("passw", "passphr", "secret", "token", "apikey", "credential", "username", "e-mail", "email",
                     "ssid", "phone", "hostname", "surname", "lastname", "firstname")  # fmt: skip
_WORD = re.compile(r"[A-Za-z]{1,16}(?:[_-][A-Za-z]{1,16}){0,2}")
_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_.:-]{0,31}")
_LONG_NUMBER = re.compile(r"[0-9]{4,}")
_HEX = re.compile(r"(?=[a-fA-F-]*[0-9])(?:[0-9a-fA-F]{2}[:-]?){4,}")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{5,}", re.IGNORECASE)
_LONGEST_WORD = 24
_LONGEST_TEXT = 40

KNOWN_WORDS = words_of(
    """
    on off open closed close true false yes no ok error fault warning alarm alert idle busy run running stopped
    started starting stopping stop start ready standby online offline connected disconnected active inactive
    enabled disabled auto automatic manual heat heating cool cooling dry fan eco normal boost away occupied
    vacant empty full low medium high good bad fair poor charging discharging charged locked unlocked up down
    left right forward backward north south east west unknown none detected clear motion present absent moving
    parked single double hold long short day night celsius fahrenheit state states status telemetry sensor
    sensors data value values event events measurement measurements reading readings raw info attributes
    temperature temp humidity hum pressure press battery voltage current power energy illuminance lux light co2
    pm noise level flow speed rpm vibration weight distance position location latitude longitude lat lon lng alt
    altitude gps signal rssi snr uptime count counter total min max mean average timestamp time ts epoch seq
    sequence id device devices deviceid node nodes unit units type version fw firmware channel channels zone
    pumping filling draining rinsing washing spinning brewing drying cleaning cooking printing moving turning
    rising falling opening closing locking unlocking waiting pending queued paused resumed complete completed done
    finished failed failure success updating booting sleeping awake home not and stable steady sunny cloudy rainy
    rain snow clear hot cold warm wet dirty critical info debug healthy degraded maintenance service remote local
    master primary
    tele stat cmnd result config air water soil door window pump valve motor meter meters plant line machine
    area factory building floor room outdoor indoor weather iot mqtt v1 v2 v3 api public uplink dev things meta
    metadata payload object objects params c f k pa hpa kpa mbar bar pct percent ppm ppb w kw wh kwh v mv a ma
    hz m km kmh mph cm mm s ms h db dbm l lx t p rh deg x y z at in out
    """
)
"""Words of devices' states, topics and keys, which tell nothing of the one installation."""


def is_sensitive_key(key: str) -> bool:
    """Return whether what stands under a key may be of a person, an account or a network."""
    small = key.lower()
    if any(part in small for part in _SENSITIVE_INSIDE):
        return True
    return any(part.lower() in _SENSITIVE for part in _PARTS.findall(key))


def is_known_text(text: str) -> bool:
    """Return whether a text is made of words of states, at most three, as `not_ready` is."""
    parts = re.split("[ _-]", text.lower()) if len(text) <= _LONGEST_TEXT else []
    return 0 < len(parts) <= 3 and all(part in KNOWN_WORDS for part in parts)


def is_harmless_word(text: str) -> bool:
    """Return whether a text is a word that states have: short, of letters, nothing drawn at random, nobody's name.

    A name begins with a capital: such a word has to be known, as `Online` is.
    """
    if text.lower() in KNOWN_WORDS:
        return True
    if len(text) > _LONGEST_WORD or not _WORD.fullmatch(text) or _CONSONANTS.search(text):
        return False
    return (text.islower() or text.isupper()) and bool(re.search("[aeiouyAEIOUY]", text))


def is_known_key(key: str) -> bool:
    """Return whether a key is made of words that keys of devices are made of."""
    parts = [part.lower() for part in _PARTS.findall(key)]
    short = [part for part in parts if part not in KNOWN_WORDS]
    return (
        bool(parts)
        and len(key) <= 40
        and len(short) <= 2
        and len(short) < max(2, len(parts))
        and all(len(part) < 3 for part in short)
    )


def is_harmless_key(key: str) -> bool:
    """Return whether a key of a payload names a quantity: no number, address or identifier of one device.

    One word with a capital may be somebody's name, and has to be known.
    """
    if is_known_key(key):
        return True
    if not _KEY.fullmatch(key) or (key.istitle() and key.isalpha()):
        return False
    return not (_LONG_NUMBER.search(key) or _HEX.fullmatch(key) or _CONSONANTS.search(key))


def is_harmless_level(level: str) -> bool:
    """Return whether a level of a topic names a place in a hierarchy, and not a person, house or identifier."""
    return level == "" or (is_harmless_word(level) or (is_harmless_key(level) and level == level.lower()))


def looks_like_an_id(text: str) -> bool:
    """Return whether a text is one of many of its kind: it has a digit, as `dev-17`, a MAC address or a UUID have."""
    return any(one.isdigit() for one in text) and text.lower() not in KNOWN_WORDS


def snake_case(texts: Iterable[str]) -> str:
    """Return the name of a field made of keys: small letters, digits and underscores, a letter first."""
    words = [part.lower() for text in texts for part in _PARTS.findall(text)]
    found = "_".join(words)[:40].strip("_")
    return found if found and found[0].isalpha() else f"value_{found}".strip("_")

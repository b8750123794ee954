"""Compresses text as it is written, piece by piece: the pieces one behind the other are one file to every reader.

Each piece is a member of gzip or a frame of zstd of its own, so that an export can be gone on with behind any of them,
and has the same bytes then.
"""

import gzip
from collections.abc import Callable

Compress = Callable[[bytes], bytes]
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3


def compressor(name: str) -> Compress | None:
    """Return what compresses a piece: "gz" or "zst"; None for none. Raises `ImportError` where pyarrow is missing."""
    if name == "gz":
        return lambda data: gzip.compress(data, _GZIP_LEVEL, mtime=0)
    if name == "zst":
        import pyarrow as pa

        codec = pa.Codec("zstd", compression_level=_ZSTD_LEVEL)
        return lambda data: bytes(codec.compress(data, asbytes=True))
    return None

"""Servers that do not get through a handshake of TLS with everyone, and say so by an alert."""

import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.waiting import until

WAIT_S = 10


def only_old(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context, which now speaks TLS 1.0 and 1.1 alone, whatever OpenSSL's own level of security."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


class TlsServer:
    """Greets whoever gets through a handshake; `spoken` has the version of each."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.spoken: list[str | None] = []
        self.refused = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(WAIT_S)
            with connection:
                # What was not read would take the alert with it as the connection is closed.
                unread = connection.dup()
                try:
                    # Python 3.11 leaves a socket open whose peer has gone before it is wrapped.
                    connection.getpeername()
                    with self._context.wrap_socket(connection, server_side=True) as tls:
                        self.spoken.append(tls.version())
                        with suppress(OSError):
                            tls.sendall(b"hello")
                except OSError:
                    self.refused += 1
                    with suppress(OSError):
                        unread.shutdown(socket.SHUT_WR)
                        while unread.recv(4096):
                            pass
                finally:
                    unread.close()

    def outcomes(self, count: int) -> tuple[list[str | None], int]:
        """Return `spoken` and `refused` when so many handshakes have ended here too: a client may know it before."""
        until(lambda: len(self.spoken) + self.refused >= count, f"{count} handshakes have ended at the server")
        return self.spoken, self.refused

    def close(self) -> None:
        """Take no more, and wait for the thread."""
        # Closing alone does not wake a thread that is in `accept`.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT_S)


@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[TlsServer]:
    """Run a server for as long as the context manager does."""
    server = TlsServer(context)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def old_server(certificate: Path, key: Path) -> Iterator[TlsServer]:
    """Run a server that speaks TLS 1.1 at most, which RFC 8996 ended: what nothing of ours may speak with."""
    context = only_old(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.load_cert_chain(certificate, key)
    with tls_server(context) as server:
        yield server

"""moto's S3 in a thread, and servers of one misbehaviour each."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.services.fixtures import require_package

KEY, SECRET = "AKIDOFATEST", "verysecretkeyofatest"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}


@contextmanager
def running_s3(bucket: str) -> Iterator[str]:
    """Yield the URL of a store that has a bucket."""
    server_module = require_package("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        from pyarrow import fs

        made = fs.S3FileSystem(
            access_key=KEY,
            secret_key=SECRET,
            endpoint_override=f"{host}:{port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        made.create_dir(bucket)
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """Yield the URL of a server that gives every request this answer; with None it reads and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                held.append(peer)
                peer.settimeout(5)
                with suppress(OSError):
                    peer.recv(65536)
                    if answer is not None:
                        peer.sendall(answer)
                        peer.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for peer in held:
            peer.close()
        thread.join(5)

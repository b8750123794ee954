"""moto's S3, and servers of one misbehaviour each."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.services.fixtures import require_package

KEY, SECRET = "AKIDOFATEST", "verysecretkeyofatest"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}


_SERVE = """
import logging, sys
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def running_s3(bucket: str) -> Iterator[str]:
    """Yield the URL of a store that has a bucket: moto's, in a process of its own, as some clients hold the GIL."""
    require_package("moto.server")
    from pyarrow import fs

    command = [sys.executable, "-W", "ignore", "-c", _SERVE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = f"127.0.0.1:{int(server.stdout.readline())}"
            made = fs.S3FileSystem(
                access_key=KEY,
                secret_key=SECRET,
                endpoint_override=address,
                scheme="http",
                region="us-east-1",
                allow_bucket_creation=True,
            )
            made.create_dir(bucket)
            yield f"http://{address}"
        finally:
            server.kill()


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

"""Answers are read within limits, whatever a server sends."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from edgewire.http_answer import Answer, AnswerReader, is_html, one_printable_line

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"

Serve = Callable[[bytes, bytes], http.client.HTTPConnection]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve one answer: what comes first, and what comes after it again and again until the client is gone."""
    listeners: list[socket.socket] = []
    connections: list[http.client.HTTPConnection] = []

    def begin(first: bytes, again: bytes) -> http.client.HTTPConnection:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                try:
                    peer.sendall(first)
                    while again:
                        peer.sendall(again)
                        if len(again) < 100:
                            threading.Event().wait(0.02)
                except OSError:
                    pass

        threading.Thread(target=answer, daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=10)
        connections.append(connection)
        connection.request("GET", "/")
        return connection

    yield begin
    for one in (*listeners, *connections):
        one.close()


ENDLESS = {
    "a byte now and then": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a byte of a length": (HEAD + b"Content-Length: 1000\r\n\r\n", b"x"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    "headers one by one": (HEAD, b"X"),
    "a status, letter by letter": (b"", b"H"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_answer_without_end_ends_by_the_clock(serve: Serve, kind: str) -> None:
    reader = AnswerReader(0.2, 1 << 20)
    connection = serve(*ENDLESS[kind])
    with pytest.raises(TimeoutError, match=r"no whole answer in 0\.2 s"):
        reader.read(connection)
    reader.close()
    connection.close()


@pytest.mark.parametrize(
    "length", [b"Transfer-Encoding: chunked\r\n\r\n10000\r\n", b"Content-Length: 9999999999\r\n\r\n"]
)
def test_no_more_is_read_than_the_limit(serve: Serve, length: bytes) -> None:
    again = b"x" * 65536 + (b"\r\n10000\r\n" if b"chunked" in length else b"")
    reader = AnswerReader(10, 100_000)
    answer = reader.read(serve(HEAD + length, again))
    reader.close()
    assert answer == Answer(200, "application/json", b"x" * 100_000, too_large=True)


@pytest.mark.parametrize("length", [b"\r\n", b"Content-Length: 3\r\n\r\n"])
def test_an_answer_that_is_whole_is_not_too_large(serve: Serve, length: bytes) -> None:
    reader = AnswerReader(10, 100)
    answer = reader.read(serve(HEAD + length + b"{ }", b""))
    reader.close()
    assert answer == Answer(200, "application/json", b"{ }", too_large=False)


def test_what_a_person_sees_is_fit_for_a_terminal() -> None:
    assert one_printable_line("a\r\n\x1b[2Jb\x00") == "a \N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}"
    assert is_html("", b"\xef\xbb\xbf <!DOCTYPE html>")
    assert not is_html("application/json", b"{}")

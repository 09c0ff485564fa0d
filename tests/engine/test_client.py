"""The client for a served app, against a server that answers with given bytes."""

import gzip
import socket
import threading

import httpx
import pytest

from rounds.bridge.client import MAX_BODY, http_client

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def answering(tmp_path):
    """Serve given bytes on a Unix socket: `client = answering(b"HTTP/1.1 ...")`; None keeps silent."""
    made = []

    def answering(*answers, seconds=20):
        path = str(tmp_path / f"socket-{len(made)}")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener, answers), daemon=True)
        thread.start()
        made.append((listener, http_client(path, seconds)))
        return made[-1][1]

    yield answering
    for listener, client in made:
        client.close()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def serve(listener, answers):
    """Answer the first request on each connection, then hang up."""
    for answer in answers:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            if answer is None:
                connection.recv(1)  # until the client gives up
            else:
                try:
                    connection.sendall(answer)
                except OSError:
                    continue


def response(body, *headers):
    lines = [OK, *(header + b"\r\n" for header in headers), b"Content-Length: %d\r\n" % len(body)]
    return b"".join([*lines, b"\r\n", body])


def test_status_headers_and_body_come_through(answering):
    found = answering(response(b'{"a": 1}', b"X-Request-Id: 7", b"Content-Type: application/json")).get("/x")
    assert (found.status_code, found.json(), found.headers["x-request-id"]) == (200, {"a": 1}, "7")


def test_a_header_may_come_more_than_once(answering):
    found = answering(response(b"", b"Set-Cookie: a=1", b"Set-Cookie: b=2")).get("/x")
    assert found.headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_a_chunked_body_is_put_together(answering):
    found = answering(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").get("/x")
    assert found.content == b"abcde"


def test_each_request_has_a_connection_of_its_own(answering):
    client = answering(response(b"1"), response(b"2"), response(b"3"))
    assert [client.get("/x").text for _ in range(3)] == ["1", "2", "3"]


def test_a_body_above_the_cap_is_refused(answering):
    assert len(answering(response(b"x" * MAX_BODY)).get("/x").content) == MAX_BODY
    with pytest.raises(httpx.RemoteProtocolError, match="larger than"):
        answering(response(b"x" * (MAX_BODY + 1))).get("/x")


def test_a_packed_body_stays_packed(answering):
    packed = gzip.compress(b"x" * 1000)
    found = answering(response(packed, b"Content-Encoding: gzip")).get("/x")
    assert found.content == packed


def test_an_odd_charset_is_not_believed(answering):
    found = answering(response(b"abc", b"Content-Type: text/plain; charset=idna")).get("/x")
    assert found.text == "abc"
    found = answering(response("ü".encode("latin-1"), b"Content-Type: text/plain; charset=latin-1")).get("/x")
    assert found.text == "ü"


def test_silence_is_a_time_out(answering):
    with pytest.raises(httpx.TimeoutException):
        answering(None, seconds=0.2).get("/x")


@pytest.mark.parametrize(
    "answer", [b"", b"garbage\r\n\r\n", OK + b"Content-Length: 10\r\n\r\nabc", OK + b"Content-Length: -1\r\n\r\n"]
)
def test_a_broken_answer_is_an_error_of_http(answering, answer):
    with pytest.raises(httpx.HTTPError):
        answering(answer).get("/x")


def test_a_redirect_is_not_followed(answering):
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://submission/y\r\nContent-Length: 0\r\n\r\n"
    assert answering(answer).get("/x").status_code == 302

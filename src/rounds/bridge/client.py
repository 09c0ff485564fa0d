"""An httpx client for an app that a submission serves on a Unix socket: size caps, no decoding of encodings."""

from typing import Any

import httpx

MAX_BODY = 8 << 20
_CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252"}
_DROPPED = {b"content-encoding", b"transfer-encoding", b"content-length"}


class CappedTransport(httpx.BaseTransport):
    """Reads an answer whole, up to a cap, and hands it on as it came: a bomb in a `content-encoding` stays packed."""

    def __init__(self, path: str) -> None:
        # a connection for each request: a server may close one just as the next request goes out on it
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
        self._transport = httpx.HTTPTransport(uds=path, limits=limits)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._transport.handle_request(request)
        body = bytearray()
        stream: Any = response.stream
        try:
            for chunk in stream:
                body += chunk
                if len(body) > MAX_BODY:
                    raise httpx.RemoteProtocolError(f"the answer is larger than {MAX_BODY} bytes", request=request)
        finally:
            response.close()
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _DROPPED]
        if (response.charset_encoding or "utf-8").lower() not in _CHARSETS:  # some unpack, some take for ever
            headers = [(name, value) for name, value in headers if name.lower() != b"content-type"]
        return httpx.Response(response.status_code, headers=headers, content=bytes(body))

    def close(self) -> None:
        self._transport.close()


def http_client(path: str, seconds: float) -> httpx.Client:
    """Return a client for the app behind the Unix socket at `path`; no answer takes longer than `seconds`."""
    return httpx.Client(transport=CappedTransport(path), base_url="http://submission", timeout=seconds)

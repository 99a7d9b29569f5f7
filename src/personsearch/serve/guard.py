"""What stands before every request: who may ask, from which page, and how much."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from personsearch.errors import SettingError

COOKIE = "personsearch"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
SHORTEST_TOKEN = 16
MOST_BYTES = 64_000
"""Of a request that is no picture."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
OPEN = frozenset({"/", "/page.css", "/page.js", "/api/enter"})
"""What is shown without a token: the empty page, and the door."""


def check_address(host: str, token: str | None) -> None:
    """Raises SettingError for an address that others can reach, without a token that cannot be guessed."""
    local = host in LOOPBACK or host == "::1"
    if token is None and not local:
        raise SettingError(
            f"--host {host}: others can reach it: give a --token, too, of {SHORTEST_TOKEN} letters or more"
        )
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isalnum()):
        raise SettingError(f"--token: give {SHORTEST_TOKEN} or more letters and digits, so that nobody guesses it")


def is_token(given: str, token: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode())


class Guard:
    """ASGI middleware that refuses a request in one sentence, or limits its body and adds HEADERS."""

    def __init__(self, app: ASGIApp, *, token: str | None, limits: Mapping[str, int]) -> None:
        """`limits` are bytes of a body by path, for paths that may have more than MOST_BYTES."""
        self.app = app
        self._token = token
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.decode("latin-1").lower() for name, _ in message["headers"]}
                added = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.lower() not in names]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        headers = Headers(scope=scope)
        refused = self._refusal(scope, headers)
        if refused is not None:
            status, line = refused
            await JSONResponse({"error": line}, status)(scope, receive, answer)
            return
        most = self._limits.get(scope["path"], MOST_BYTES)
        body = await _body(receive, most)
        if body is None:
            await JSONResponse({"error": f"this is too large: {most // 1000:,} kB are the limit"}, 413)(
                scope, receive, answer
            )
            return
        await self.app(scope, _given(body, receive), answer)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._token is None and _without_port(host) not in LOOPBACK:
            return 421, "this page answers only under the address of this machine: 127.0.0.1"
        origin = headers.get("origin")
        foreign = headers.get("sec-fetch-site") not in (None, "same-origin", "none")
        if scope["method"] not in ("GET", "HEAD") and (
            foreign or (origin is not None and origin.partition("://")[2] != host)
        ):
            return 403, "another page tried to ask: open this page itself"
        if self._token is not None and scope["path"] not in OPEN and not is_token(_given_token(headers), self._token):
            return 401, "give the token that the page's program was started with"
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _given_token(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    try:
        morsel: Any = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if morsel is None else str(morsel.value)


async def _body(receive: Receive, most: int) -> bytes | None:
    """All of it; None as soon as it is too large, whatever its header says."""
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""  # whoever asked has left
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > most:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _given(body: bytes, receive: Receive) -> Receive:
    first = True

    async def again() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again

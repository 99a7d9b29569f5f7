"""What stands before every request: who may ask, from which page, how much, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from personsearch.serve.door import LOOPBACK, OPEN, Door
from personsearch.serve.pace import Pace, Turns

MOST_BYTES = 64_000
"""Of a request that is no picture."""
LONGEST_BODY = 60.0
"""Seconds for which a body may take to come."""
AT_ONCE = 8
"""Questions that are worked on or wait for it."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TOO_OFTEN = 429, "this was asked too often: wait a moment"
_BUSY = 503, "others are asking at this moment: try again in a few seconds"
_SLOW = 408, "the request took too long to come: send it again"
_GUESSED = 429, "too many wrong tokens came from there: wait a minute"


class _LeftError(Exception):
    """Whoever asked has gone."""


class Guard:
    """ASGI middleware that refuses a request in one sentence, or limits its body and adds HEADERS."""

    def __init__(
        self, app: ASGIApp, *, door: Door, limits: Mapping[str, int], proxy: bool = False, pace: Pace | None = None
    ) -> None:
        """`limits` are bytes of a body by path, for paths that may have more than MOST_BYTES. Behind a `proxy` the
        header X-Forwarded-Proto must say that a visitor came by https. `pace` is of questions."""
        self.app = app
        self._door = door
        self._limits = limits
        self._proxy = proxy
        self._questions = pace or Pace(burst=40, per_second=5)
        self._requests = Pace(burst=1000, per_second=200)
        self._turns = Turns(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return None

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.decode("latin-1").lower() for name, _ in message["headers"]}
                added = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.lower() not in names]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        async def refuse(status: int, line: str) -> None:
            headers = {"Retry-After": "5"} if status in (429, 503) else None
            await JSONResponse({"error": line}, status, headers)(scope, receive, answer)

        headers = Headers(scope=scope)
        scope["visitor"] = self._address(scope, headers)
        refused = self._refusal(scope, headers)
        if refused is not None:
            return await refuse(*refused)
        most = self._limits.get(scope["path"], MOST_BYTES)
        try:
            body = await asyncio.wait_for(_body(receive, most), LONGEST_BODY)
        except TimeoutError:
            return await refuse(*_SLOW)
        except _LeftError:
            return None
        if body is None:
            return await refuse(413, f"this is too large: {most // 1000:,} kB are the limit")
        question = _is_question(scope)
        if question and not self._turns.take():
            return await refuse(*_BUSY)
        try:
            return await self.app(scope, _given(body, receive), answer)
        finally:
            if question:
                self._turns.give_back()

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host, address = headers.get("host", ""), scope["visitor"]
        if not self._requests.spend(address):
            return _TOO_OFTEN
        if self._proxy and headers.get("x-forwarded-proto", "") != "https":
            return 403, "this page is open by https alone: come by the server before it"
        if self._door.token is None and _without_port(host) not in LOOPBACK:
            return 421, "this page answers only under the address of this machine: 127.0.0.1"
        origin = headers.get("origin")
        foreign = headers.get("sec-fetch-site") not in (None, "same-origin", "none")
        if scope["method"] not in ("GET", "HEAD") and (
            foreign or (origin is not None and origin.partition("://")[2] != host)
        ):
            return 403, "another page tried to ask: open this page itself"
        if scope["path"] not in OPEN:
            match self._door.admits(headers, address):
                case 401:
                    return 401, "give the token that the page's program was started with"
                case 429:
                    return _GUESSED
        if _is_question(scope) and not self._questions.spend(address):
            return _TOO_OFTEN
        return None

    def _address(self, scope: Scope, headers: Headers) -> str:
        if self._proxy:  # the last entry is the proxy's own; those before it are what a visitor says
            return headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return str((scope.get("client") or ("",))[0])


def _is_question(scope: Scope) -> bool:
    """Whether it makes the model or the gallery work."""
    return scope["method"] == "POST" and scope["path"] not in OPEN


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


async def _body(receive: Receive, most: int) -> bytes | None:
    """All of it; None as soon as it is too large, whatever its header says. Raises _LeftError."""
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _LeftError
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

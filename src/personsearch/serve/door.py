"""The token of the page: who knows it may come in, and guesses run dry."""

from __future__ import annotations

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers

from personsearch.errors import SettingError
from personsearch.serve.pace import Pace

COOKIE = "personsearch"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
SHORTEST_TOKEN = 16
_GUESSES, _GUESSES_A_SECOND = 10, 0.1
OPEN = frozenset({"/", "/page.css", "/page.js", "/parts.js", "/picture.js", "/api/enter"})
"""What is shown without a token: the empty page, and the door."""


def check_address(host: str, token: str | None, *, encrypted: bool = False) -> None:
    """Raises SettingError for an address that others can reach, without a token that cannot be guessed, or without
    encryption, by the page itself or a proxy, that keeps it unread on its way."""
    local = host in LOOPBACK or host == "::1"
    if token is None and not local:
        raise SettingError(
            f"--host {host}: others can reach it: give a --token, too, of {SHORTEST_TOKEN} letters or more"
        )
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isalnum()):
        raise SettingError(f"--token: give {SHORTEST_TOKEN} or more letters and digits, so that nobody guesses it")
    if not local and not encrypted:
        raise SettingError(
            f"--host {host}: others could read along: give --certificate and --key, or --proxy where a server before "
            "it speaks TLS"
        )


def is_token(given: str, token: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode())


class Door:
    """Lets in who gives the token, or the cookie that was handed out for it. Without a token it stands open."""

    def __init__(self, token: str | None, *, secure: bool = False) -> None:
        """`secure` cookies come by TLS alone."""
        self.token = token
        self.secure = secure
        self.session = secrets.token_hex(32)
        """What the cookie holds: nobody can tell the token from it, and it ends with the program."""
        self._guesses = Pace(_GUESSES, _GUESSES_A_SECOND)

    def tries(self, given: str, address: str) -> int:
        """200 for the token, 401 for another word, 429 where an address has guessed too often to be listened to."""
        if self.token is None:
            return 200
        if self._guesses.left(address) < 1:
            return 429
        if is_token(given, self.token):
            return 200
        self._guesses.spend(address)
        return 401

    def admits(self, headers: Headers, address: str) -> int:
        """The status for a request, as of `tries`. Who is in stays in, however many others guess."""
        if self.token is None or is_token(_cookie(headers), self.session):
            return 200
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return self.tries(given.strip(), address) if scheme.lower() == "bearer" else 401


def _cookie(headers: Headers) -> str:
    try:
        morsel: Any = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if morsel is None else str(morsel.value)

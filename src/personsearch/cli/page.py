"""`serve`: the page on a gallery."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path
from typing import Annotated, Any

import typer

from personsearch.cli.console import complain, say
from personsearch.cli.find import load_worker
from personsearch.cli.options import AGallery, Device, Memory, Runtime, within
from personsearch.errors import SettingError

Port = Annotated[int, typer.Option(callback=within(1, 65535), help="Where the page is.")]


def serve(
    gallery: AGallery,
    host: Annotated[str, typer.Option(help="Address; by default only this machine reaches it.")] = "127.0.0.1",
    port: Port = 8765,
    token: Annotated[str | None, typer.Option(help="Word that visitors must give; needed for another --host.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="File with the certificate, for TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="File with the certificate's key.")] = None,
    proxy: Annotated[bool, typer.Option("--proxy", help="A server before it speaks TLS, and says https.")] = False,
    device: Device = None,
    memory: Memory = None,
    runtime: Runtime = None,
) -> None:
    """A page to look through a gallery and ask it by a click. Ctrl-C ends it.

    Example: personsearch serve g
    """
    try:
        import uvicorn

        from personsearch.serve.app import make_app
        from personsearch.serve.door import check_address
    except ImportError as error:
        raise SettingError(
            "the page needs FastAPI and uvicorn; install them: pip install 'personsearch[serve]'"
        ) from error
    from personsearch.search.gallery import Gallery
    from personsearch.search.searchers import SceneEncoder

    tls = _tls(certificate, key)
    check_address(host, token, encrypted=bool(tls) or proxy)
    about = Gallery.open(gallery).about

    def load() -> SceneEncoder:
        encoder = load_worker(about, runtime, device)
        Gallery.open(gallery).require_model(encoder.fingerprint, encoder.read)
        return encoder

    app = make_app(gallery, load, token=token, secure=bool(tls), proxy=proxy, memory=memory, complain=complain)
    _check_free(host, port)
    where = f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"
    say(f"open {where} in a browser; Ctrl-C ends it", err=True)
    uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False, date_header=False, **tls)


def _check_free(host: str, port: int) -> None:
    """Raises SettingError for an address that is taken, or not of this machine."""
    try:
        kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise SettingError(f"--host {host}: there is no such address; give one of this machine") from None
    except OSError as error:
        advice = {errno.EADDRINUSE: "give another --port", errno.EACCES: "give a --port of 1024 or more"}
        what = advice.get(error.errno or 0, "give an address of this machine")
        raise SettingError(f"{host} port {port}: {error.strerror}; {what}") from None


def _tls(certificate: Path | None, key: Path | None) -> dict[str, Any]:
    """What uvicorn is told of them; nothing without. Raises SettingError for files that are no certificate and key."""
    if certificate is None and key is None:
        return {}
    if certificate is None or key is None:
        raise SettingError("--certificate and --key go together: give both")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise SettingError(
            f"{certificate} and {key}: no certificate with its key ({error.strerror or error}); give PEM files"
            if isinstance(error, OSError)
            else f"{key}: the key wants a password; give one without"
        ) from error
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}

"""`serve`: the page on a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from personsearch.cli.console import complain, say
from personsearch.cli.options import Device, Runtime, within
from personsearch.errors import SettingError

Port = Annotated[int, typer.Option(callback=within(1, 65535), help="Where the page is.")]


def serve(
    gallery: Annotated[Path, typer.Argument(metavar="GALLERY", help="Folder of the gallery.")],
    host: Annotated[str, typer.Option(help="Address; by default only this machine reaches it.")] = "127.0.0.1",
    port: Port = 8765,
    token: Annotated[str | None, typer.Option(help="Word that visitors must give; needed for another --host.")] = None,
    device: Device = None,
    runtime: Runtime = None,
) -> None:
    """A page to look through a gallery and ask it by a click. Ctrl-C ends it.

    Example: personsearch serve g
    """
    try:
        import uvicorn

        from personsearch.serve.app import make_app
        from personsearch.serve.guard import LOOPBACK, check_address
    except ImportError as error:
        raise SettingError(
            "the page needs FastAPI and uvicorn; install them: pip install 'personsearch[serve]'"
        ) from error
    from personsearch.search.gallery import Gallery
    from personsearch.search.searchers import SceneEncoder, load_searcher

    check_address(host, token)
    about = Gallery.open(gallery).about

    def load() -> SceneEncoder:
        encoder = load_searcher(
            about.model, device, about.min_score, about.read, reid=about.reid, runtime=runtime, complain=complain
        )
        Gallery.open(gallery).require_model(encoder.fingerprint, encoder.read)
        return encoder

    app = make_app(gallery, load, token=token)
    if host not in LOOPBACK:
        complain("the page is sent as it is: put a server that speaks TLS before it where others share the network")
    say(f"open http://{f'[{host}]' if ':' in host else host}:{port} in a browser; Ctrl-C ends it", err=True)
    uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False, date_header=False)

"""The page's server: what it answers to which address. `make_app` is all that others need."""

import json
import math
import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from personsearch.errors import GalleryError, PersonSearchError
from personsearch.search.drawing import place_of
from personsearch.search.exporting import as_csv
from personsearch.search.place import Place
from personsearch.search.searchers import SceneEncoder
from personsearch.serve import guard
from personsearch.serve.door import COOKIE, Door
from personsearch.serve.images import GoneError, Images, check_there, read_scene
from personsearch.serve.library import Library, Shelf, UnknownError
from personsearch.serve.pace import Pace
from personsearch.serve.questions import COLUMNS, Question, Reply, ask, described, exported
from personsearch.serve.uploads import MOST_BYTES, Uploads
from personsearch.serve.witness import Witness

STATIC = Path(__file__).parent / "static"
_A_PICTURE = {"requestBody": {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}}
_SENTENCE = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_REFUSED: dict[str, Any] = {
    "description": "What went wrong, in one sentence",
    "content": {"application/json": {"schema": _SENTENCE}},
}
_PAGE = 60
"""Scenes that are listed at once."""
_NOT_UNDERSTOOD = "this question cannot be understood: load the page again"

Id = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-z-]+$")]


Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Pixels = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class Jpeg(Response):
    """A picture, which may be kept for a while."""

    media_type = "image/jpeg"

    def __init__(self, content: bytes, status_code: int = 200) -> None:
        super().__init__(content, status_code, headers={"Cache-Control": "private, max-age=300"})


class Asked(BaseModel):
    """What the page sends as a question."""

    model_config = ConfigDict(extra="forbid")

    sights: list[Id] = Field(max_length=50)
    others: list[Id] = Field(default=[], max_length=200)
    sure: int = Field(default=2, ge=0, le=3)
    source: Id | None = None
    after: Seconds = 0
    before: Seconds | None = None

    def question(self) -> Question:
        before = math.inf if self.before is None else self.before
        return Question(self.sights, self.others, self.sure, self.source, self.after, before)


class Drawing(BaseModel):
    """A box that a visitor drew: x1, y1, x2, y2 in pixels of the picture."""

    model_config = ConfigDict(extra="forbid")

    box: tuple[Pixels, Pixels, Pixels, Pixels]


def make_app(
    folder: Place,
    load: Callable[[], SceneEncoder],
    *,
    token: str | None = None,
    secure: bool = False,
    proxy: bool = False,
    pace: Pace | None = None,
    fresh_for: float = 2.0,
    memory: int | None = None,
    complain: Callable[[str], None] = lambda _line: None,
) -> FastAPI:
    """The server of a gallery; `load` gives the model that reads pictures of one's own. Raises GalleryError.

    `secure` where visitors come by TLS, `proxy` where another server brings them, `pace` of an address's questions.
    The gallery is asked in `memory` as `Gallery.open` takes it. `complain` hears once that questions cannot be noted in
    the gallery's audit.
    """
    library, uploads, images = Library(folder, fresh_for, memory), Uploads(load), Images()
    door = Door(token, secure=secure or proxy)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, responses={"default": _REFUSED})
    app.add_middleware(guard.Guard, door=door, limits={"/api/pictures": MOST_BYTES}, proxy=proxy, pace=pace)
    _tell_errors(app)
    _serve_page(app, door)
    _serve_scenes(app, library, images)
    _serve_films(app, library)
    _serve_pictures(app, library, uploads)
    _serve_answers(app, library, uploads, Witness(folder, complain))
    return app


def _serve_page(app: FastAPI, door: Door) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/page.css", include_in_schema=False)
    def style() -> FileResponse:
        return FileResponse(STATIC / "page.css")

    @app.get("/{name}.js", include_in_schema=False)
    def script(name: Literal["page", "parts", "picture"]) -> FileResponse:
        return FileResponse(STATIC / f"{name}.js", media_type="text/javascript")

    class Given(BaseModel):
        token: str = Field(max_length=1000)

    @app.post("/api/enter")
    def enter(given: Given, request: Request) -> JSONResponse:
        status = door.tries(given.token, request.scope["visitor"])
        if status != 200:
            line = "this is not the token" if status == 401 else "too many wrong tokens came from there: wait a minute"
            return JSONResponse({"error": line}, status)
        answer = JSONResponse({})
        if door.token is not None:
            answer.set_cookie(COOKIE, door.session, httponly=True, samesite="strict", secure=door.secure)
        return answer


def _serve_scenes(app: FastAPI, library: Library, images: Images) -> None:
    @app.get("/api/sources")
    def sources(shelf: Annotated[Shelf, Depends(library.now)]) -> dict[str, Any]:
        listed = [
            {
                "id": name, "name": place_of(camera.path), "film": camera.film, "scenes": len(camera.scenes),
                "people": camera.people, "length": camera.length,
            }
            for name, camera in shelf.cameras.items()
        ]  # fmt: skip
        return {"sources": listed, "scenes": len(shelf.ids), "people": len(shelf.crowd.scores)}

    @app.get("/api/scenes")
    def scenes(
        shelf: Annotated[Shelf, Depends(library.now)],
        source: str = "",
        start: Annotated[int, Query(ge=0, le=10**9)] = 0,
        after: Seconds = 0,
        before: Seconds = 1e9,
    ) -> dict[str, Any]:
        chosen = shelf.within(source or None, after, before)
        return {"total": len(chosen), "scenes": [_scene(shelf, number) for number in chosen[start:][:_PAGE]]}

    @app.get("/api/scenes/{scene}")
    def scene(scene: str, shelf: Annotated[Shelf, Depends(library.now)]) -> dict[str, Any]:
        number = shelf.scene(scene)
        rows = shelf.people(number)
        boxes = shelf.crowd.boxes[rows.start : rows.stop].tolist()
        people = [{"id": shelf.person_id(row), "box": box} for row, box in zip(rows, boxes, strict=True)]
        return {**_scene(shelf, number), "people": people}

    @app.get("/api/scenes/{scene}/picture", response_class=Jpeg)
    def picture(scene: str, shelf: Annotated[Shelf, Depends(library.now)], small: bool = False) -> Response:
        read = images.small if small else images.scene
        return Jpeg(read(scene, shelf.scene_hit(shelf.scene(scene))))

    @app.get("/api/people/{person}/picture", response_class=Jpeg)
    def person(person: str, shelf: Annotated[Shelf, Depends(library.now)]) -> Response:
        return Jpeg(images.person(person, shelf.crowd.hit(shelf.person(person), 0.0)))


def _serve_films(app: FastAPI, library: Library) -> None:
    @app.get("/api/scenes/{scene}/film", response_class=FileResponse)
    def film(scene: str, shelf: Annotated[Shelf, Depends(library.now)]) -> FileResponse:
        """The film of a scene, in the ranges that a browser asks for."""
        hit = shelf.scene_hit(shelf.scene(scene))
        if hit.frame is None:
            raise UnknownError("this is a picture, not a film")
        check_there(hit)
        kind = mimetypes.guess_type(hit.source.name)[0] or ""
        return FileResponse(hit.source, media_type=kind if kind.startswith("video/") else "application/octet-stream")


def _serve_pictures(app: FastAPI, library: Library, uploads: Uploads) -> None:
    async def body(request: Request) -> bytes:
        return await request.body()

    @app.post("/api/pictures", openapi_extra=_A_PICTURE)
    def add(content: Annotated[bytes, Depends(body)]) -> dict[str, Any]:
        name = uploads.add(content)
        upload = uploads.get(name)
        boxes = upload.people.boxes.tolist()
        people = [{"id": f"{name}-{place}", "box": box} for place, box in enumerate(boxes)]
        return {"id": name, "width": upload.width, "height": upload.height, "people": people}

    @app.get("/api/pictures/{name}/picture", response_class=Jpeg)
    def show(name: str) -> Response:
        return Jpeg(uploads.get(name).file)

    @app.post("/api/pictures/{name}/people")
    def draw(name: str, drawing: Drawing) -> dict[str, Any]:
        return {"id": uploads.draw(name, drawing.box), "box": drawing.box}

    @app.post("/api/scenes/{scene}/people")
    def draw_in_scene(scene: str, drawing: Drawing, shelf: Annotated[Shelf, Depends(library.now)]) -> dict[str, Any]:
        image = read_scene(shelf.scene_hit(shelf.scene(scene)))
        return {"id": uploads.draw_in(image, drawing.box, scene), "box": drawing.box}


def _serve_answers(app: FastAPI, library: Library, uploads: Uploads, witness: Witness) -> None:
    def noted(what: str, asked: Asked, shelf: Shelf, request: Request) -> Reply:
        reply = ask(shelf, uploads, asked.question())
        witness.note(what, shelf, uploads, asked.sights[0], len(reply.found), request.scope["visitor"])
        return reply

    @app.post("/api/ask")
    def answer(asked: Asked, shelf: Annotated[Shelf, Depends(library.now)], request: Request) -> dict[str, Any]:
        reply = noted("search", asked, shelf, request)
        return {"answers": described(shelf, reply.found), "absent": reply.absent, "searched": reply.searched}

    @app.post("/api/export/{form}", response_class=Response)
    def export(
        form: Literal["csv", "json"], asked: Asked, shelf: Annotated[Shelf, Depends(library.now)], request: Request
    ) -> Response:
        rows = exported(noted("export", asked, shelf, request).found)
        text = as_csv(rows, COLUMNS) if form == "csv" else json.dumps(rows, indent=2) + "\n"
        kind = "text/csv" if form == "csv" else "application/json"
        return Response(
            text, media_type=kind, headers={"Content-Disposition": f'attachment; filename="answers.{form}"'}
        )


def _scene(shelf: Shelf, number: int) -> dict[str, Any]:
    row = shelf.crowd.scenes[number]
    return {
        "id": shelf.ids[number],
        "name": place_of(Path(row["source"])),
        "source": shelf.camera_of(number),
        "film": row["frame"] is not None,
        "time": row["time"],
        "width": row["width"],
        "height": row["height"],
        "count": len(shelf.people(number)),
    }


def _tell_errors(app: FastAPI) -> None:
    """Every error is one sentence as JSON."""

    def told(error: Exception) -> tuple[int, str]:
        match error:
            case UnknownError():
                return 404, str(error)
            case GoneError():
                return 410, str(error)
            case GalleryError():
                return 503, str(error)
            case PersonSearchError():
                return 400, str(error)
            case HTTPException():
                if error.status_code in (404, 405):
                    return error.status_code, "there is nothing here: open the page at /"
                return error.status_code, _NOT_UNDERSTOOD
            case RequestValidationError():
                return 422, _NOT_UNDERSTOOD
        return 500, "a fault of personsearch itself: please report it"

    def answer(_request: Request, error: Exception) -> JSONResponse:
        status, line = told(error)
        return JSONResponse({"error": line}, status)

    for kind in (PersonSearchError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)

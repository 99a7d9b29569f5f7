"""The page's server: what it answers to which address. `make_app` is all that others need."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from personsearch.errors import GalleryError, PersonSearchError
from personsearch.search.drawing import place_of
from personsearch.search.searchers import SceneEncoder
from personsearch.serve import guard
from personsearch.serve.images import GoneError, Images
from personsearch.serve.library import Library, Shelf, UnknownError
from personsearch.serve.questions import Question, as_csv, ask, described, exported
from personsearch.serve.uploads import MOST_BYTES, Uploads

STATIC = Path(__file__).parent / "static"
_PAGE = 60
"""Scenes that are listed at once."""

Id = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-z-]+$")]


class Asked(BaseModel):
    """What the page sends as a question."""

    model_config = ConfigDict(extra="forbid")

    sights: list[Id] = Field(max_length=50)
    others: list[Id] = Field(default=[], max_length=200)
    sure: int = Field(default=2, ge=0, le=3)
    source: Id | None = None

    def question(self) -> Question:
        return Question(self.sights, self.others, self.sure, self.source)


def make_app(
    folder: Path, load: Callable[[], SceneEncoder], *, token: str | None = None, fresh_for: float = 2.0
) -> FastAPI:
    """The server of a gallery; `load` gives the model that reads pictures of one's own. Raises GalleryError."""
    library, uploads, images = Library(folder, fresh_for), Uploads(load), Images()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(guard.Guard, token=token, limits={"/api/pictures": MOST_BYTES})
    _tell_errors(app)
    _serve_page(app, token)
    _serve_scenes(app, library, images)
    _serve_pictures(app, uploads)
    _serve_answers(app, library, uploads)
    return app


def _serve_page(app: FastAPI, token: str | None) -> None:
    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/page.css")
    def style() -> FileResponse:
        return FileResponse(STATIC / "page.css")

    @app.get("/page.js")
    def script() -> FileResponse:
        return FileResponse(STATIC / "page.js", media_type="text/javascript")

    class Given(BaseModel):
        token: str = Field(max_length=1000)

    @app.post("/api/enter")
    def enter(given: Given) -> JSONResponse:
        if token is not None and not guard.is_token(given.token, token):
            return JSONResponse({"error": "this is not the token"}, 401)
        answer = JSONResponse({})
        if token is not None:
            answer.set_cookie(guard.COOKIE, token, httponly=True, samesite="strict")
        return answer


def _serve_scenes(app: FastAPI, library: Library, images: Images) -> None:
    @app.get("/api/sources")
    def sources(shelf: Annotated[Shelf, Depends(library.now)]) -> dict[str, Any]:
        listed = [
            {"id": name, "name": place_of(Path(path)), **_counts(shelf, path)}
            for name, path in sorted(shelf.sources.items(), key=lambda item: item[1])
        ]
        return {"sources": listed, "scenes": len(shelf.ids), "people": len(shelf.crowd.scores)}

    @app.get("/api/scenes")
    def scenes(shelf: Annotated[Shelf, Depends(library.now)], source: str = "", start: int = 0) -> dict[str, Any]:
        if source and source not in shelf.sources:
            raise UnknownError("this source is not here any more: load the page again")
        chosen = [
            number
            for number in shelf.ids
            if not source or shelf.crowd.scenes[number]["source"] == shelf.sources[source]
        ]
        part = chosen[max(0, start) :][:_PAGE]
        return {"total": len(chosen), "scenes": [_scene(shelf, number) for number in part]}

    @app.get("/api/scenes/{scene}")
    def scene(scene: str, shelf: Annotated[Shelf, Depends(library.now)]) -> dict[str, Any]:
        number = shelf.scene(scene)
        rows = shelf.people(number)
        boxes = shelf.crowd.boxes[rows.start : rows.stop].tolist()
        people = [{"id": shelf.person_id(row), "box": box} for row, box in zip(rows, boxes, strict=True)]
        return {**_scene(shelf, number), "people": people}

    @app.get("/api/scenes/{scene}/picture")
    def picture(scene: str, shelf: Annotated[Shelf, Depends(library.now)]) -> Response:
        return _jpeg(images.scene(scene, shelf.scene_hit(shelf.scene(scene))))

    @app.get("/api/people/{person}/picture")
    def person(person: str, shelf: Annotated[Shelf, Depends(library.now)]) -> Response:
        return _jpeg(images.person(person, shelf.crowd.hit(shelf.person(person), 0.0)))


def _serve_pictures(app: FastAPI, uploads: Uploads) -> None:
    async def body(request: Request) -> bytes:
        return await request.body()

    @app.post("/api/pictures")
    def add(content: Annotated[bytes, Depends(body)]) -> dict[str, Any]:
        name = uploads.add(content)
        upload = uploads.get(name)
        boxes = upload.people.boxes.tolist()
        people = [{"id": f"{name}-{place}", "box": box} for place, box in enumerate(boxes)]
        return {"id": name, "width": upload.width, "height": upload.height, "people": people}

    @app.get("/api/pictures/{name}/picture")
    def show(name: str) -> Response:
        return _jpeg(uploads.get(name).file)


def _serve_answers(app: FastAPI, library: Library, uploads: Uploads) -> None:
    @app.post("/api/ask")
    def answer(asked: Asked, shelf: Annotated[Shelf, Depends(library.now)]) -> dict[str, Any]:
        return {"answers": described(shelf, ask(shelf, uploads, asked.question()))}

    @app.post("/api/export/{form}")
    def export(form: Literal["csv", "json"], asked: Asked, shelf: Annotated[Shelf, Depends(library.now)]) -> Response:
        rows = exported(ask(shelf, uploads, asked.question()))
        text = as_csv(rows) if form == "csv" else json.dumps(rows, indent=2) + "\n"
        kind = "text/csv" if form == "csv" else "application/json"
        return Response(
            text, media_type=kind, headers={"Content-Disposition": f'attachment; filename="answers.{form}"'}
        )


def _counts(shelf: Shelf, path: str) -> dict[str, Any]:
    """How much there is of a source, and the time of its last scene."""
    numbers = [number for number in shelf.ids if shelf.crowd.scenes[number]["source"] == path]
    times = [shelf.crowd.scenes[number]["time"] for number in numbers]
    last = max((time for time in times if time is not None), default=None)
    people = sum(len(shelf.people(number)) for number in numbers)
    return {"scenes": len(numbers), "people": people, "length": last}


def _scene(shelf: Shelf, number: int) -> dict[str, Any]:
    row = shelf.crowd.scenes[number]
    return {
        "id": shelf.ids[number],
        "name": place_of(Path(row["source"])),
        "time": row["time"],
        "width": row["width"],
        "height": row["height"],
        "count": len(shelf.people(number)),
    }


def _jpeg(content: bytes) -> Response:
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"})


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
                return error.status_code, "there is nothing here: open the page at /"
            case RequestValidationError():
                return 422, "this question cannot be understood: load the page again"
        return 500, "a fault of personsearch itself: please report it"

    def answer(_request: Request, error: Exception) -> JSONResponse:
        status, line = told(error)
        return JSONResponse({"error": line}, status)

    for kind in (PersonSearchError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)

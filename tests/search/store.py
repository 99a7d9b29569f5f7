"""An S3 store on this machine for tests: moto's, one request at a time, so that a conditional write is atomic."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import boto3
from moto import settings
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from personsearch.search.bucket import BucketPath

BUCKET = "people"


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


class Store:
    """A store that runs until it is closed, with a bucket."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._one_by_one, threaded=True, request_handler=_Quiet)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.port}"
        self.client().create_bucket(Bucket=BUCKET)

    def _one_by_one(self, environ: Any, start_response: Callable[..., Any]) -> list[bytes]:
        with self._turn:
            if settings.INITIAL_NO_AUTH_ACTION_COUNT == 0 and "HTTP_AUTHORIZATION" not in environ:  # moto fails on that
                start_response("403 Forbidden", [("Content-Type", "application/xml")])
                return [b"<Error><Code>AccessDenied</Code></Error>"]
            return list(self._app(environ, start_response))

    def environment(self, key: str = "test", secret: str = "test") -> dict[str, str]:
        """What a program needs in its environment to use it."""
        keys = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_EC2_METADATA_DISABLED": "true"}
        return {"AWS_ENDPOINT_URL": self.address, **keys}

    def client(self, service: str = "s3") -> Any:
        return boto3.client(
            service, endpoint_url=self.address, region_name="us-east-1", aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip

    def place(self, name: str) -> BucketPath:
        return BucketPath.parse(f"s3://{BUCKET}/{name}")

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

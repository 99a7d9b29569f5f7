"""A place in a bucket of an S3 store, which can do what a gallery asks of a `Path`: the one caller of pyarrow.fs.

An object is written whole or not at all, and a listing shows what was written before it: S3 promises both.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from personsearch.errors import GalleryError, SettingError
from personsearch.files import refusal

SCHEME = "s3://"
_ADDRESS = re.compile(r"([a-z0-9][a-z0-9._-]{1,62})((?:/[\w.!*'()-]+)*)/*", re.ASCII)
_LOOPBACK = ("127.", "localhost", "::1")
_ENVIRONMENT = (
    "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ALLOW_HTTP",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
)  # fmt: skip
_FAULTS = (
    (
        errno.ENOENT,
        re.compile(r"no.?such.?bucket|bucket (does not|doesn't) exist", re.IGNORECASE),
        "there is no such bucket; check its name and AWS_ENDPOINT_URL",
    ),
    (
        errno.EACCES,
        re.compile(
            r"access.?denied|forbidden|status(:| code)? 40[13]|http status code: 40[13]|invalid_?access_?key|"
            r"signature_?does|expired_?token|invalid_?(client_)?token|credential",
            re.IGNORECASE,
        ),
        "the store refuses the credentials; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN",
    ),
    (
        errno.EHOSTUNREACH,
        re.compile(
            r"error sending request|network_connection|curlcode|could(n't| not) connect|"
            r"connection (refused|reset|closed)|cannot be reached|tim(ed|e) ?out|dns error",
            re.IGNORECASE,
        ),
        "the store cannot be reached; check the network and AWS_ENDPOINT_URL",
    ),
)
"""What a store refuses, by how pyarrow and LanceDB say it."""


class Stat(NamedTuple):
    """What is known of an object, by the names that `os.stat` has for it."""

    st_size: int
    st_mtime_ns: int
    st_ino: int = 0


@dataclass(frozen=True, order=True)
class BucketPath:
    """An object, or all objects below a prefix, as a folder has files. Methods raise OSError as those of `Path` do."""

    key: str
    """Bucket and prefix"""
    _info: Any = field(default=None, compare=False, repr=False)
    """What a listing said of it"""

    @classmethod
    def parse(cls, address: str) -> BucketPath:
        """Raises SettingError for another address than s3://BUCKET/PATH of plain letters."""
        found = _ADDRESS.fullmatch(re.sub(r"^s3:/+", "", address))
        if found is None or not {".", ".."}.isdisjoint(found[2].split("/")):
            raise SettingError(
                f"{address}: is no address of a gallery; write s3://BUCKET/PATH in letters, digits and any of _-.!*'()"
            )
        return cls(f"{found[1]}{found[2]}")

    def __str__(self) -> str:
        return f"{SCHEME}{self.key}"

    def __truediv__(self, name: str) -> BucketPath:
        return BucketPath(f"{self.key}/{name}")

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return os.path.splitext(self.name)[1]  # noqa: PTH122  a key is no path of this system

    @property
    def parent(self) -> BucketPath:
        return BucketPath(self.key.rpartition("/")[0] or self.key)

    @property
    def bucket(self) -> BucketPath:
        return BucketPath(self.key.partition("/")[0])

    def with_name(self, name: str) -> BucketPath:
        return self.parent / name

    def resolve(self) -> BucketPath:
        return self

    # ---------------------------------------------------------------- looking

    def exists(self) -> bool:
        return bool(self._look().type)

    def is_file(self) -> bool:
        return bool(self._look().is_file)

    def is_dir(self) -> bool:
        return self.exists() and not self.is_file()

    def stat(self) -> Stat:
        info = self._look()
        if not info.is_file:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return Stat(info.size, info.mtime_ns or 0)

    def iterdir(self) -> Iterator[BucketPath]:
        """What lies here, and names of what lies deeper; nothing where there is nothing."""
        return self._list(recursive=False)

    def glob(self, pattern: str) -> Iterator[BucketPath]:
        """By name, of what lies here."""
        return (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def rglob(self, pattern: str) -> Iterator[BucketPath]:
        """By name, of all that lies below."""
        return (path for path in self._list(recursive=True) if fnmatch.fnmatchcase(path.name, pattern))

    def _look(self) -> Any:
        if self._info is not None:
            return self._info
        with self._in_words():
            return _filesystem().get_file_info(self.key)

    def _list(self, *, recursive: bool) -> Iterator[BucketPath]:
        from pyarrow import fs

        with self._in_words():
            selector = fs.FileSelector(self.key, allow_not_found=True, recursive=recursive)
            found = _filesystem().get_file_info(selector)
        return iter([replace(BucketPath(info.path), _info=info) for info in sorted(found, key=lambda info: info.path)])

    # ---------------------------------------------------------------- reading and writing

    def read_bytes(self) -> bytes:
        with self._in_words(), _filesystem().open_input_stream(self.key) as file:
            return bytes(file.read())

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def write_bytes(self, data: bytes) -> None:
        with self._in_words():
            file = _filesystem().open_output_stream(self.key)
            try:
                file.write(data)
            finally:
                file.close()

    def touch(self) -> None:
        self.write_bytes(b"")

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with self._in_words():
                _filesystem().delete_file(self.key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: a prefix is there when an object is."""

    def rmdir(self) -> None:
        """Nothing: a prefix goes with its last object."""

    def rmtree(self) -> None:
        """Deletes all objects below; harmless where there are none."""
        with self._in_words():
            _filesystem().delete_dir_contents(self.key, missing_dir_ok=True)
            if self != self.bucket:
                with suppress(FileNotFoundError):
                    _filesystem().delete_dir(self.key)  # the object that stands for the folder itself

    def rename(self, target: BucketPath) -> BucketPath:
        """Copies it within the store, and deletes the old one."""
        self.copy(target)
        if self.is_file():
            self.unlink(missing_ok=True)
        else:
            self.rmtree()
        return target

    def copy(self, target: BucketPath) -> None:
        """An object, or all below, within the store. What lies deepest goes first, so that an object on top, such as
        gallery.json, comes when all else is there."""
        if self.is_file():
            below = {self: target}
        else:
            found = [path for path in self._list(recursive=True) if path.is_file()]
            below = {path: target / path.key.removeprefix(f"{self.key}/") for path in found}
        for path in sorted(below, key=lambda path: -path.key.count("/")):
            with self._in_words():
                _filesystem().copy_file(path.key, below[path].key)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Turns pyarrow's errors into OSErrors that say in words what a store refuses."""
        try:
            yield
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self)) from error
        except OSError as error:
            number, why = fault_of_store(str(error)) or (errno.EIO, str(error).splitlines()[0])
            raise OSError(number, why, str(self)) from error


def fault_of_store(text: str) -> tuple[int, str] | None:
    """Number and words of what a store refused, told by an error's text; None for other errors."""
    return next(((number, words) for number, pattern, words in _FAULTS if pattern.search(text)), None)


def require_bucket(place: BucketPath) -> None:
    """Raises GalleryError where the bucket is gone, or was never there, or cannot be reached."""
    try:
        if not place.bucket.exists():
            raise GalleryError(f"{place}: there is no bucket {place.bucket.key}; check its name and AWS_ENDPOINT_URL")
    except OSError as error:
        raise GalleryError(f"{place}: cannot be read {refusal(error)}") from error


def storage_options() -> dict[str, str]:
    """What LanceDB is told of the store; the credentials it finds in the environment, as pyarrow does."""
    endpoint, region = _endpoint(), _region()
    options = {"client_max_retries": "5", "client_retry_timeout": "30"}
    if region is not None:
        options["region"] = region
    if endpoint is not None:
        options |= {"endpoint": endpoint.geturl(), "allow_http": str(endpoint.scheme == "http").lower()}
    return options


def _endpoint() -> Any:
    """The address of the store, where it is not Amazon's. Raises SettingError for one that tells all to the net."""
    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not address:
        return None
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(f"AWS_ENDPOINT_URL {address}: is no address; write https://HOST:PORT")
    allowed = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes")
    if parts.scheme == "http" and not (allowed or parts.hostname.startswith(_LOOPBACK)):
        raise SettingError(f"AWS_ENDPOINT_URL {address}: is not encrypted; use https, or set AWS_ALLOW_HTTP=true")
    return parts


def _region() -> str | None:
    known = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return known or (None if _endpoint() is None else "us-east-1")


def _filesystem() -> Any:
    return _filesystem_of(tuple(os.environ.get(name) for name in _ENVIRONMENT))


@cache
def _filesystem_of(_environment: tuple[str | None, ...]) -> Any:
    """One a process, for its connections are kept; another one where the environment says something else."""
    from pyarrow import fs

    endpoint = _endpoint()
    where = {} if endpoint is None else {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme}
    return fs.S3FileSystem(region=_region(), allow_delayed_open=True, background_writes=False, **where)

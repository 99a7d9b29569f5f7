"""The gallery's LanceDB table: the one place that calls LanceDB."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from personsearch.errors import GalleryError
from personsearch.search.bucket import BucketPath, storage_options
from personsearch.search.faults import is_conflict, is_fault, reading, reading_index, reading_part, writing
from personsearch.search.place import Place
from personsearch.search.rows import check_rows, check_schema, flat, schema, source_of
from personsearch.search.sources import Source

T = TypeVar("T")

NAME = "scenes"
_SEARCHED = "embeddings"
INDEXES = "_indices"
"""Where LanceDB keeps the approximate index."""
MOST_FRAGMENTS = 16
"""Each append is a file of its own, and many small files make reading slow: more are merged when a writer closes."""
_COMMITS_BEFORE_MERGE = 500
_KEPT = timedelta(minutes=1)
"""How long merged files stay, for readers that have them open."""
_MOVED_AT_ONCE = 256
_ROWS_AT_A_TIME = 1024
"""Read of a snapshot: LanceDB's buffers stay small beside what is kept."""
_TRIES = 5
"""Of reading a table whose old files another process deletes meanwhile."""
_COMMIT_TRIES = 20
"""Of a change to a table that other programs change meanwhile."""


class SceneTable:
    """One row a scene. Every method that reads or writes raises GalleryError, in one line."""

    def __init__(self, folder: Place, table: Any, dim: int) -> None:
        self.folder = folder
        self._table = table
        self._dim = dim
        self._commits = 0
        self._expected = int(table.version)

    @classmethod
    def create(cls, folder: Place, dim: int) -> SceneTable:
        with writing(folder):
            return cls(folder, _connect(folder).create_table(NAME, schema=schema(dim)), dim)

    @classmethod
    def open(cls, folder: Place, dim: int) -> SceneTable:
        """Does not write, whatever the table's format is."""
        with reading(folder, dim):
            table = _connect(folder).open_table(NAME)
            check_schema(table, dim)
            return cls(folder, table, dim)

    # ---------------------------------------------------------------- reading

    def read(self, columns: Sequence[str] | None = None, where: str | None = None) -> Any:
        """An Arrow table of all columns, or of those of `columns` that there are, in no order."""
        with reading(self.folder, self._dim):
            return self._again(lambda: self._read(columns, where))

    def _again(self, read: Callable[[], T]) -> T:
        """Reads of the latest state, again where another process has cleaned it up meanwhile."""
        for _ in range(_TRIES):
            self._table.checkout_latest()
            version = self._table.version
            try:
                return read()
            except BaseException as error:
                if not is_fault(error):
                    raise
                self._table.checkout_latest()
                if self._table.version == version:  # nobody took it away: it is damaged
                    raise
        return read()

    def _read(self, columns: Sequence[str] | None, where: str | None) -> Any:
        query = self._table.search()
        if columns is not None:
            query = query.select([name for name in columns if name in self._table.schema.names])
        rows = (query if where is None else query.where(where)).limit(None).to_arrow()
        check_rows(rows)
        return rows

    def stream(self) -> Iterator[Any]:
        """All rows as record batches of the current schema, without holding them all in memory."""
        with reading(self.folder, self._dim):
            self._table.checkout_latest()
            return self._checked(self._table.search().limit(None).to_batches(), self.knows_contents)

    def _checked(self, batches: Iterator[Any], knows_contents: bool) -> Iterator[Any]:
        import pyarrow as pa

        while True:
            with reading(self.folder, self._dim):
                batch = next(batches, None)
                if batch is None:
                    return
                table = pa.Table.from_batches([batch])
                check_rows(table)
                if not knows_contents:
                    table = table.append_column("digest", pa.nulls(len(table), pa.string()))
                parts = table.select(schema(self._dim).names).cast(schema(self._dim)).to_batches()
            yield from parts

    def rows(self, columns: Sequence[str]) -> list[dict[str, Any]]:
        with reading(self.folder, self._dim):
            return list(self.read(columns).to_pylist())

    def snapshot(self) -> Snapshot:
        """It as it is now. Raises GalleryError."""
        with reading_part(self.folder):
            table = _connect(self.folder).open_table(NAME)
            table.checkout(table.version)
            return Snapshot(self.folder, table, self._dim)

    def unindexed(self) -> int | None:
        """How many rows came after the approximate index; None where there is none."""
        with reading(self.folder, self._dim):
            self._table.checkout_latest()
            found = [index for index in self._table.list_indices() if index.columns == [_SEARCHED]]
            return int(found[0].num_unindexed_rows) if found else None

    def near(self, queries: Sequence[Tensor], count: int, probes: int) -> Any:
        """An Arrow table of all columns of the `count` rows with the people most alike to each query [D], as far as
        `probes` lists of the index hold them, and of rows that came after it. Raises GalleryError."""
        with reading_index(self.folder):
            return self._again(lambda: self._near(queries, count, probes))

    def _near(self, queries: Sequence[Tensor], count: int, probes: int) -> Any:
        import pyarrow as pa

        asked = (self._table.search(query.numpy(), vector_column_name=_SEARCHED) for query in queries)
        found = [one.distance_type("cosine").nprobes(probes).with_row_id(True).limit(count).to_arrow() for one in asked]
        rows = pa.concat_tables(found)
        once = np.unique(rows["_rowid"].to_numpy(), return_index=True)[1]
        rows = rows.take(pa.array(once)).drop_columns(["_rowid", "_distance"])
        check_rows(rows)
        return rows

    @property
    def version(self) -> int:
        """Another one after every change."""
        with reading(self.folder, self._dim):
            self._table.checkout_latest()
            return int(self._table.version)

    @property
    def knows_contents(self) -> bool:
        """Whether it has a column of digests; galleries of format 1 do not."""
        return "digest" in self._table.schema.names

    # ---------------------------------------------------------------- writing

    def add_digests(self) -> None:
        """Adds the column of digests, empty in the rows that are there."""
        import pyarrow as pa

        with writing(self.folder):
            self._table.add_columns(pa.schema([pa.field("digest", pa.string())]))

    def append(self, rows: list[dict[str, Any]]) -> None:
        """All rows, or none."""
        import pyarrow as pa

        self.extend(pa.Table.from_pylist(rows, schema=schema(self._dim)))

    def extend(self, rows: Any) -> None:
        """As `append`, for rows in an Arrow table of the `schema`."""
        self._commit(lambda: self._table.add(rows))

    def delete(self, path: str, but: Source | None = None) -> None:
        """All rows of a file, `but` those of this state of it, which another program may have added meanwhile."""
        where = f"source = {_quoted(path)}"
        if but is not None:
            sampled = "every IS NOT NULL" if but.every is None else f"every IS NULL OR every != {but.every!r}"
            where += f" AND (size != {but.size} OR mtime_ns != {but.mtime_ns} OR {sampled})"
        self._commit(lambda: self._table.delete(where))

    def _commit(self, change: Callable[[], Any]) -> None:
        """Makes a change, again where another program's came first."""
        with writing(self.folder):
            for left in reversed(range(_COMMIT_TRIES)):
                try:
                    change()
                    break
                except BaseException as error:
                    if not is_conflict(error) or not left:
                        raise
                time.sleep(random.uniform(0.01, 0.2))
                self._table.checkout_latest()
        self._commits += 1
        self._expected += 1

    @property
    def others_wrote(self) -> bool:
        """Whether other programs may have changed it since it was opened."""
        return self.version != self._expected

    def overwrite(self, batches: Iterable[Any]) -> None:
        """These rows instead of all that are there, in one commit: a kill leaves the old ones or the new ones."""
        import pyarrow as pa

        rows = pa.Table.from_batches(batches, schema=schema(self._dim))  # before LanceDB is called: it waits for itself
        data = rows if len(rows) else None  # LanceDB takes no table without a row
        with writing(self.folder):
            self._table = _connect(self.folder).create_table(NAME, data, schema=rows.schema, mode="overwrite")

    def index(self, lists: int) -> None:
        """Makes the approximate index, of so many lists, anew. Numbers of 8 bits take half of what is stored, and
        finding them needs no training that takes minutes."""
        from lancedb.index import IvfSq

        config = IvfSq(distance_type="cosine", num_partitions=lists)
        self._commit(lambda: self._table.create_index(_SEARCHED, config=config, replace=True))

    def drop_index(self) -> None:
        """Harmless where there is none."""
        with reading(self.folder, self._dim):
            names = [index.name for index in self._table.list_indices()]
        for name in names:
            self._commit(partial(self._table.drop_index, name))

    def clean(self) -> None:
        """Deletes every file that is not of the latest state, also what killed writers left."""
        with writing(self.folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that older readers fail: they read again, see `read`
            self._table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)

    def leftovers(self) -> bool:
        """Whether rows that were dropped may still lie on the disk."""
        table = self.folder / f"{NAME}.lance"
        versions = len(list((table / "_versions").glob("*.manifest")))
        return versions > 1 or any((table / "_deletions").glob("*"))

    def relink(self, pairs: Sequence[tuple[Source, Source]]) -> None:
        """Gives all rows of each first file to the second one. Rows that the second path had are dropped.

        Up to `_MOVED_AT_ONCE` files are moved in one commit, so that a kill neither loses nor doubles a row.
        """
        for start in range(0, len(pairs), _MOVED_AT_ONCE):
            self._relink(pairs[start : start + _MOVED_AT_ONCE])

    def _relink(self, pairs: Sequence[tuple[Source, Source]]) -> None:
        import pyarrow as pa

        known = dict(pairs)
        paths = {source.path for pair in pairs for source in pair}
        where = f"source IN ({', '.join(_quoted(path) for path in sorted(paths))})"
        moved = []
        with writing(self.folder):
            for row in self.read(where=where).to_pylist():
                now = known.get(source_of(row))
                if now is not None:
                    facts = {"source": now.path, "size": now.size, "mtime_ns": now.mtime_ns, "digest": now.digest}
                    moved.append({**row, **facts})
        if not moved:
            return
        merge = self._table.merge_insert(["source", "size", "mtime_ns"]).when_not_matched_insert_all()
        merge = merge.when_not_matched_by_source_delete(where)
        rows = pa.Table.from_pylist(moved, schema=schema(self._dim))
        self._commit(lambda: merge.execute(rows))

    @property
    def untidy(self) -> bool:
        """Whether so many commits were made that it is time to `tidy`."""
        return self._commits >= _COMMITS_BEFORE_MERGE

    def tidy(self) -> None:
        """Merges small files where there are many, whichever process wrote them."""
        self._commits = 0
        with writing(self.folder):
            if self.fragments() > MOST_FRAGMENTS:
                self._table.optimize(cleanup_older_than=_KEPT)

    def fragments(self) -> int:
        with reading(self.folder, self._dim):
            return int(self._table.stats()["fragment_stats"]["num_fragments"])


class Snapshot:
    """One version of a table, of which a part is read at a time."""

    def __init__(self, folder: Place, table: Any, dim: int) -> None:
        self.folder, self.dim = folder, dim
        self._table = table

    def scenes(self) -> Any:
        """An Arrow table of everything but the embeddings, in no order, with the number `_rowid` of each row.

        Raises GalleryError.
        """
        with reading_part(self.folder):
            names = [name for name in self._table.schema.names if name != "embeddings"]
            rows = self._table.search().select(names).with_row_id(True).limit(None).to_arrow()
            check_rows(rows)
            return rows

    def readings(self, rows: list[int], people: int) -> Tensor:
        """[n, D] float16 of all `people` in the rows with these rising numbers, row by row. Raises GalleryError."""
        with reading_part(self.folder):
            values = np.empty((people, self.dim), np.float16)
            filled = 0
            for start in range(0, len(rows), _ROWS_AT_A_TIME):
                part = self._embeddings(rows[start : start + _ROWS_AT_A_TIME])
                values[filled : filled + len(part)] = part  # raises ValueError where there are more than `people`
                filled += len(part)
            if filled != people:
                raise ValueError("people of rows are missing")
            return torch.from_numpy(values)

    def _embeddings(self, rows: list[int]) -> Any:
        """[n, D] of all people in some rows. Raises ValueError where one is missing."""
        try:
            found = self._table.take_row_ids(rows).select(["embeddings"]).with_row_id().to_arrow()
        except BaseException as error:
            if is_fault(error) and self._outdated():
                raise GalleryError(f"{self.folder}: was changed while it was asked; ask again") from error
            raise
        found = found.sort_by("_rowid")
        if found["_rowid"].to_pylist() != rows:
            raise ValueError("rows are missing")
        return flat(found, "embeddings").reshape(-1, self.dim)

    def _outdated(self) -> bool:
        """Whether the table has another version by now."""
        latest = _connect(self.folder).open_table(NAME)
        return int(latest.version) != int(self._table.version)


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"


def _connect(folder: Place) -> Any:
    try:
        import lancedb
    except ImportError as error:
        raise GalleryError("galleries need LanceDB; install it: pip install 'personsearch[gallery]'") from error
    if isinstance(folder, BucketPath):
        return lancedb.connect(str(folder), storage_options=storage_options())
    return lancedb.connect(str(folder.absolute()))  # a relative one may look like an address

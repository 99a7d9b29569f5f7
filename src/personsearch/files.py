"""Files written whole or not at all, JSON lines that a kill may have cut, and checks of where files may be made."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personsearch.errors import SettingError

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE_FORMATS = {
    **{".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP"},
    **{".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"},
}
"""What pictures are written as, by the suffix of the file."""


ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room there, or name another place"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "get the right to use it, or name another place"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "end other programs, or allow more files (ulimit -n)"),
    errno.EAGAIN: "end other programs, or allow more of them (ulimit -u)",
    errno.EFBIG: "allow larger files (ulimit -f), or name another place",
    errno.ENOMEM: "end other programs, or use a machine with more memory",
    errno.EIO: "the disk or its cable fails: copy what it holds, and name another place",
    errno.ESTALE: "the share was cut off: mount it again",
}
"""What to do about errors of the system, by their number. They say nothing of the file that was to be read."""


def refusal(error: OSError, otherwise: str = "") -> str:
    """What the system says in brackets, and what to do about it: `otherwise` where the file itself is at fault.

    >>> refusal(OSError(errno.EIO, "Input/output error"))
    '(Input/output error); the disk or its cable fails: copy what it holds, and name another place'
    >>> refusal(OSError(errno.ENOENT, "No such file or directory"), "copy it again")
    '(No such file or directory); copy it again'
    """
    advice = ADVICE.get(error.errno or 0, otherwise)
    return f"({error.strerror or error})" + (f"; {advice}" if advice else "")


def beside(path: Path, end: str) -> Path:
    """A hidden name beside a file or folder, for what takes its place. Raises SettingError where none can."""
    target = Path(os.path.realpath(path))
    if not target.name or target == Path.cwd():
        what = "is the folder that you are in" if target.name else "has no name"
        raise SettingError(f"{path}: {what}; give the name of a new folder")
    return target.with_name(f".{target.name[:40]}.{end}")


@contextmanager
def written_whole(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """A file to write instead of `path`: renamed to it when the block ends without an error, and removed otherwise.

    An older file stays until then. A link is followed; a device is written directly. `shared` is for a file that
    several processes may write at once. Raises OSError, which names `path`.
    """
    target = Path(os.path.realpath(path))
    whole = target.is_file() or not target.exists()
    mine = f".{os.getpid()}" if shared else ""
    part = target.with_name(f".{target.name[:40]}{mine}.part") if whole else target
    try:
        yield part
        if whole:
            _settle(part)
            part.replace(target)
    except OSError as error:
        if error.filename not in (None, str(part)):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    finally:
        if whole:
            with suppress(OSError):
                part.unlink()


def _settle(part: Path) -> None:
    """Waits until the disk has the data, before the file is renamed: some disks say only then that they are full."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())


def write_whole(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all. Raises OSError."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def save_picture(image: Image, path: Path, **options: Any) -> None:
    """Writes a picture in the format of its suffix, whole or not at all. Raises OSError, also for sizes it cannot."""
    with written_whole(path) as part:
        try:
            image.save(part, PICTURE_FORMATS[path.suffix.lower()], **options)
        except ValueError as error:  # wider than the format allows
            raise OSError(None, f"{error}; give it another suffix", str(path)) from None


def read_json_lines(path: Path) -> list[Any]:
    """The values of a file with one JSON value a line, without lines that are cut or garbled. [] when it is missing."""
    if not path.exists():
        return []
    values = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        with suppress(ValueError, RecursionError):
            values.append(json.loads(line))
    return values


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Writes a file with one JSON value a line, whole or not at all. Raises OSError."""
    write_whole(path, "".join(json.dumps(value) + "\n" for value in values))


def append_json_line(path: Path, value: Any) -> None:
    """Adds a line, whole or not at all. Raises OSError, which names `path`."""
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(value) + "\n")
    except OSError as error:
        with suppress(OSError):
            os.truncate(path, size)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Makes a folder, where nobody else works inside the block who asks in the same way; freed also by a kill.

    Raises SettingError while another process works there, OSError. Where the system has no locks of folders, several
    processes at once are the user's affair.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if os.name != "posix":  # which opens no folders
        yield
        return
    handle, ours = os.open(folder, os.O_RDONLY), True
    try:
        with suppress(OSError):  # some file systems cannot lock folders
            ours = locks(handle)
        if not ours:
            raise SettingError(
                f"{folder}: another process works in it: wait until it has ended, or give another folder"
            )
        yield
    finally:
        os.close(handle)


def locks(handle: int) -> bool:
    """Locks an open file or folder until it is closed; False while another process has it locked. Raises OSError.

    True where the system has no such locks: several processes at once are the user's affair there.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_file(path: Path) -> None:
    """Raises SettingError where no file can be written under this name; writes nothing."""
    if _stat_is_folder(path):
        raise SettingError(f"{path}: a folder is there; give the name of a file")
    check_folder(path.parent)


def refuse_one_place(one: Path | None, other: Path | None, names: str) -> None:
    """Raises SettingError where two outputs, called `names`, would get one name, or the other would lie in the one."""
    if one is None or other is None:
        return
    mine, others = one.resolve(), other.resolve()
    if mine == others or mine in others.parents:
        raise SettingError(f"{one}: {names} need places of their own; give another")


def refuse_input(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raises SettingError for an output that is what a command reads, or would lie in a folder of that."""
    read = [path.resolve() for path in inputs]
    for out in outputs:
        here = out.resolve()
        if any(here == path or path in here.parents or _is_one_file(here, path) for path in read):
            raise SettingError(f"{out}: would change what this command reads; give another place")


def _is_one_file(one: Path, other: Path) -> bool:
    """Whether two names are of one file, as hard links are."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def refuse_bucket(path: Path) -> None:
    """Raises SettingError for an address in a bucket where a file or folder is wanted."""
    if path.parts[:1] == ("s3:",):
        raise SettingError(f"{path}: only galleries may be in a bucket; give a file or folder of this machine")


def check_folder(folder: Path) -> None:
    """Raises SettingError where a folder neither is one that can be written to nor can be made; writes nothing."""
    refuse_bucket(folder)
    for path in (folder, *folder.absolute().parents):
        is_folder = _stat_is_folder(path)
        if is_folder is None:
            continue
        if not is_folder:
            raise SettingError(f"{path}: a file is there, not a folder; give another name")
        if not os.access(path, os.W_OK | os.X_OK):
            raise SettingError(f"{path}: nothing may be written there; give another folder")
        return


def check_picture_name(path: Path) -> None:
    """Raises SettingError for a suffix that is not of a format in which pictures are written."""
    if path.suffix.lower() not in PICTURE_FORMATS:
        raise SettingError(f"{path}: the name says no format; let it end in {', '.join(PICTURE_FORMATS)}")


def _stat_is_folder(path: Path) -> bool | None:
    """Whether there is a folder, or something else (False), or nothing (None). Raises SettingError for odd names."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingError(f"{path}: {error.strerror}; give another name") from None

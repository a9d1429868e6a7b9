"""Files that are written whole or not at all, and the one rule of where a file may be written.

The rule: symbolic links are followed to their end and stay. At the end there is nothing yet, in a folder that exists,
or a regular file, which is replaced; the new file gets its permissions, and its owner where the system allows that. A
folder, a device, a FIFO, a socket, a write-protected file and a loop of links are refused. Another hard link to a
replaced file keeps the old content.

Main definitions: `write_whole`, `require_writable`, `require_folder`, `require_regular`, `write_tensors`,
`write_array`.
Implementation notes: the draft lies in a folder beside the file that it will be, locked as long as its process lives. A
process that is killed leaves that folder behind; the next write beside it finds it unlocked and removes it.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from constructions.errors import require_int, require_path

try:
    import fcntl
except ImportError:  # not on Windows: drafts are not locked there, and those of killed processes stay
    fcntl = None

PREFIX = "momlp-draft-"
DRAFT_FOLDER = re.compile(re.escape(PREFIX) + r"[a-z0-9_]{8}")
DRAFT = "draft"
LONGEST_SUFFIX = 32
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


def write_whole(path: str | os.PathLike, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a draft beside `path`, then move it into place; OSError names the path."""
    if not callable(write):
        raise TypeError(f"`write` must be callable with a path, got {type(write).__name__}")
    target = _target(path)
    try:
        with _draft_folder(target.parent) as folder:
            suffix = target.suffix if len(target.suffix) <= LONGEST_SUFFIX else ""
            draft = folder / f"{DRAFT}{suffix}"
            write(draft)
            _synchronise(draft)
            _make_alike(draft, target)
            os.replace(draft, target)
        with suppress(OSError):  # the file is whole in any case; some systems cannot synchronise a folder
            _synchronise(target.parent)
    except OSError as err:
        raise _refusal("write", path, err.strerror or str(err)) from err
    return Path(path)


def require_writable(path: str | os.PathLike, *sources: str | os.PathLike | None) -> None:
    """Before the work: OSError, as `write_whole` would raise it, unless a file can be written at `path`; ValueError
    when it would replace one of the `sources` that it is made from."""
    target = _target(path)
    for source in sources:
        if source is not None and os.path.realpath(source) == str(target):
            raise ValueError(f"cannot write {path}: it would replace the file {source}, which is needed")
    try:
        with _draft_folder(target.parent):
            pass
    except OSError as err:
        raise _refusal("write", path, err.strerror or str(err)) from err


def require_folder(path: str | os.PathLike) -> Path:
    """`path` as a folder, made when there is none; OSError names the path."""
    folder = require_path("path", path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as err:
        raise _refusal("write in", path, getattr(err, "strerror", None) or str(err)) from err
    return folder


def require_regular(path: str | os.PathLike) -> Path:
    """`path` if a regular file is there, through links too: opening a FIFO would wait for ever. OSError otherwise."""
    given = require_path("path", path)
    try:
        mode = os.stat(given).st_mode
    except (OSError, ValueError) as err:
        raise _refusal("read", path, getattr(err, "strerror", None) or str(err), err) from err
    if not stat.S_ISREG(mode):
        raise _refusal("read", path, f"it is {_kind(mode)}, not a regular file")
    return given


def write_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], metadata: dict[str, str]) -> Path:
    """Write a safetensors file, whole or not at all; OSError names the path."""

    def write(draft: Path) -> None:
        try:
            save_file(tensors, draft, metadata=metadata)
        except SafetensorError as err:  # a full disk comes as one of these
            raise OSError(str(err)) from err

    return write_whole(path, write)


def write_array(path: str | os.PathLike, array: np.ndarray) -> Path:
    """Write a plain `.npy` file, whole or not at all and under exactly this name; OSError names the path."""

    def write(draft: Path) -> None:
        with open(draft, "wb") as file:  # given a name, np.save would add to it
            np.save(file, array, allow_pickle=False)

    return write_whole(path, write)


# --- where a file may be written ------------------------------------------------------------------------


def _target(path: str | os.PathLike) -> Path:
    """What `path` names, links followed, if it may be written by the rule; OSError otherwise."""
    require_path("path", path)
    text = os.fspath(path)
    if os.path.basename(text) in ("", os.curdir, os.pardir):
        raise _refusal("write", path, "a file is needed, this names a folder")
    parent = os.path.dirname(text) or os.curdir
    try:
        if not os.path.isdir(parent):
            raise _refusal("write", path, f"there is no folder {parent}", FileNotFoundError())
        mode = _mode(text)
        target = Path(os.path.realpath(text))
        if not target.parent.is_dir():
            raise _refusal("write", path, f"it is a link, and there is no folder {target.parent}", FileNotFoundError())
    except ValueError as err:  # a zero byte, or half of a surrogate pair
        raise _refusal("write", path, str(err)) from err
    if mode is not None and not stat.S_ISREG(mode):
        raise _refusal("write", path, f"it is {_kind(mode)}, not a regular file")
    if mode is not None and not os.access(target, os.W_OK):
        raise _refusal("write", path, "it is write-protected", PermissionError())
    return target


def _mode(text: str) -> int | None:
    """Kind and permissions of what is at the end of the links, None where there is nothing yet."""
    try:
        return os.stat(text).st_mode
    except FileNotFoundError:
        return None
    except OSError as err:  # a loop of links, a name that is too long, a folder that may not be searched
        raise _refusal("write", text, err.strerror or str(err), err) from err


def _kind(mode: int) -> str:
    return KINDS.get(stat.S_IFMT(mode), "something special")


def _refusal(doing: str, path: str | os.PathLike, why: str, like: Exception | None = None) -> OSError:
    """The error in one sentence, of the kind that the system's own error has."""
    kind = type(like) if isinstance(like, OSError) else OSError
    name = str(path)
    return kind(f"cannot {doing} {name if name.isprintable() and name else repr(name)}: {why}")


# --- drafts ---------------------------------------------------------------------------------------------


@contextmanager
def _draft_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, locked by this process and gone in the end."""
    _remove_abandoned(parent)
    folder, lock = _new_folder(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _new_folder(parent: Path) -> tuple[Path, int | None]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = _lock(folder, wait=True)
        if folder.is_dir():
            return folder, lock
        if lock is not None:  # another process took it for abandoned before it was locked
            os.close(lock)


def _lock(folder: str | os.PathLike, *, wait: bool) -> int | None:
    """A descriptor that holds the folder's lock, None where that cannot be had."""
    if fcntl is None:
        return None
    lock = None
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by a living process, or a file system without locks
        if lock is not None:
            os.close(lock)
        return None
    return lock


def _remove_abandoned(parent: Path) -> None:
    """Remove the draft folders of processes that are no more: those whose lock is free."""
    try:
        with os.scandir(parent) as entries:
            found = [e.path for e in entries if DRAFT_FOLDER.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    except OSError:  # a folder that may be written, but not listed
        return
    for folder in found:
        lock = _lock(folder, wait=False)
        if lock is None:
            continue
        try:
            if all(name.startswith(DRAFT) for name in os.listdir(lock)):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass
        finally:
            os.close(lock)


def _make_alike(draft: Path, target: Path) -> None:
    """Give a draft owner and permissions of the file that it replaces, or those that a new file gets here."""
    try:
        old = target.stat()
    except FileNotFoundError:
        draft.chmod(_fresh_permissions(draft.parent))
        return
    new = draft.stat()
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(OSError):  # only an administrator may give files away
            os.chown(draft, old.st_uid, old.st_gid)
    draft.chmod(stat.S_IMODE(old.st_mode) & 0o777)


def _fresh_permissions(folder: Path) -> int:
    """The permissions of a new file; asking for the mask itself would change it for other threads."""
    probe = folder / f"{DRAFT}-permissions"
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    return mode


def _synchronise(path: Path) -> None:
    """Have the system write what it holds of a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- arrays in files ---------------------------------------------------------------------------------------


def points_file(path: Path, n: int | None, *, name: str = "points") -> np.ndarray:
    """The floating array (B, n) stored at `path`, memory-mapped; ValueError for anything else (any n ≥ 1 when None is
    given), OSError if unreadable. `name` is how the message calls the file."""
    if n is not None:
        require_int("n", n, 1)
    points = array_file(name, path)
    fits = points.ndim == 2 and points.shape[1] >= 1 and n in (None, points.shape[1])
    if not fits or points.dtype.kind != "f":
        wanted = f"(B, {n or 'n'})"
        raise ValueError(f"`{name}` must be a floating array of shape {wanted}, got {points.dtype} {points.shape}")
    return points


def array_file(name: str, path: Path) -> np.ndarray:
    """The array stored at `path`, memory-mapped; ValueError calling it `name` for anything but one plain `.npy` array,
    OSError if unreadable."""
    require_regular(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a header is parsed as Python, an archive unpacked: they may fail in any way
        why = " ".join(str(error).split())[:200]
        # what is no array at all is taken for pickled objects, and the advice would be to load them
        why = ", this is none" if "pickle" in why else f": {why}"
        raise ValueError(f"`{name}` {path} must be a plain .npy array{why}") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"`{name}` {path} must be a plain .npy array, this is an archive of several")
    return array

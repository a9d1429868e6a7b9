"""Where files may be written, what stays when writing fails, and who tidies up after a killed process.

No test touches a device of this machine: device nodes are made in a temporary folder.
"""

import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from constructions import StoreError, build_momlp, load, save, targets, train_momlp
from constructions.distributed_momlp import ShardedMoMLP, evaluate_file
from constructions.files import (
    points_file,
    require_folder,
    require_regular,
    require_writable,
    write_array,
    write_tensors,
    write_whole,
)
from constructions.progress import require_log
from constructions.ranks import Ranks
from constructions.trained_momlp.training import Options
from constructions.vc_dimension import one_hidden_layer
from theory.figure_style import save_figure
from theory.report import write_text
from theory.vc_dimension.checkers.file import check_file, save_shattered

OLD = b"what was there before"


def words(path):
    return path.write_text("new")


def drafts(folder):
    return list(folder.rglob("momlp-draft-*"))


# --- special files --------------------------------------------------------------------------------------


def make_fifo(path):
    os.mkfifo(path)


def make_socket(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.close()


def make_folder(path):
    path.mkdir()


def make_device(kind):
    def make(path):
        try:  # 1, 3 is what /dev/null is, 1, 0 a RAM disk
            os.mknod(path, kind | 0o666, os.makedev(1, 3 if kind == stat.S_IFCHR else 0))
        except PermissionError:
            pytest.skip("only an administrator makes device nodes")

    return make


def make_link_to(make):
    def link(path):
        make(path.with_name("end"))
        path.symlink_to("end")

    return link


def make_loop(path):
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)


def make_link_to_itself(path):
    path.symlink_to(path.name)


def make_link_into_nowhere(path):
    path.symlink_to("no/such/folder/file")


def make_chain_into_nowhere(path):
    path.symlink_to("second")
    path.with_name("second").symlink_to("no/such/file")


def make_link_below_a_file(path):
    path.with_name("plain").write_bytes(OLD)
    path.symlink_to("plain/below")


SPECIAL = {
    "fifo": make_fifo,
    "socket": make_socket,
    "folder": make_folder,
    "character device": make_device(stat.S_IFCHR),
    "block device": make_device(stat.S_IFBLK),
    "link to fifo": make_link_to(make_fifo),
    "link to socket": make_link_to(make_socket),
    "link to folder": make_link_to(make_folder),
    "link to device": make_link_to(make_device(stat.S_IFCHR)),
    "loop": make_loop,
    "link to itself": make_link_to_itself,
    "link into nowhere": make_link_into_nowhere,
    "chain into nowhere": make_chain_into_nowhere,
    "link below a file": make_link_below_a_file,
}


def state(folder):
    """Every name in the folder with what it is."""
    return {p.name: (p.lstat().st_mode, p.lstat().st_ino, p.lstat().st_rdev) for p in folder.iterdir()}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_refused_and_stays(tmp_path, kind):
    path = tmp_path / "target.safetensors"
    SPECIAL[kind](path)
    before, called = state(tmp_path), []
    with pytest.raises(OSError, match=r"cannot write .*target"):
        write_whole(path, called.append)
    with pytest.raises(OSError, match=r"cannot write .*target"):
        require_writable(path)
    assert not called
    assert state(tmp_path) == before


@pytest.fixture(scope="module")
def model():
    return build_momlp(targets.get("cone", n=2), eps=0.2)


@pytest.fixture(scope="module")
def trained():
    x = torch.rand(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return lambda **options: train_momlp(
        x, x[:, 0], leaves=3, expert_hidden=(4,), options=Options(steps=3), generator=torch.Generator(), **options
    )


def evaluated(model, path, folder):
    save(model, folder / "model")
    np.save(folder / "x.npy", np.full((5, 2), 0.5))
    with Ranks.start(environment={}) as ranks:
        evaluate_file(ShardedMoMLP.load(folder / "model", ranks), folder / "x.npy", path)


WRITERS = {
    "model": lambda path, m, t, folder: save(m, path),
    "trained model": lambda path, m, t, folder: save(t(), path),
    "checkpoint": lambda path, m, t, folder: t(checkpoint=path),
    "shattered set": lambda path, m, t, folder: save_shattered(one_hidden_layer(2, 2), path),
    "figure": lambda path, m, t, folder: save_figure(Figure(), path),
    "text": lambda path, m, t, folder: write_text(path, "words"),
    "array": lambda path, m, t, folder: write_array(path, np.zeros(3)),
    "evaluation": lambda path, m, t, folder: evaluated(m, path, folder),
}


@pytest.mark.parametrize("kind", ["fifo", "folder", "character device", "loop"])
@pytest.mark.parametrize("writer", WRITERS)
def test_everything_that_writes_follows_the_rule(tmp_path, model, trained, writer, kind):
    path, other = tmp_path / "out" / "target", tmp_path / "other"
    path.parent.mkdir()
    other.mkdir()
    SPECIAL[kind](path)
    before = state(path.parent)
    with pytest.raises((OSError, StoreError), match="target"):
        WRITERS[writer](path, model, trained, other)
    assert state(path.parent) == before


@pytest.mark.parametrize("writer", WRITERS)
def test_everything_that_writes_uses_the_name_it_was_given(tmp_path, model, trained, writer):
    path, other = tmp_path / "out" / "target.v2", tmp_path / "other"
    path.parent.mkdir()
    other.mkdir()
    WRITERS[writer](path, model, trained, other)
    assert [p.name for p in path.parent.iterdir()] == ["target.v2"]


# --- links, permissions, names --------------------------------------------------------------------------


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("links", [1, 2])
def test_links_are_followed_and_stay(tmp_path, exists, links):
    """Also through a folder that is a link, to a file in another folder: the draft lies beside the file."""
    end = tmp_path / "elsewhere" / "end"
    end.parent.mkdir()
    if exists:
        end.write_bytes(OLD)
        end.chmod(0o640)
    path = tmp_path / "link"
    if links == 2:
        (tmp_path / "middle").symlink_to(end)
        path.symlink_to("middle")
    else:
        path.symlink_to("elsewhere/end")
    seen = []
    assert write_whole(path, lambda draft: (seen.append(draft), words(draft))) == path
    assert path.is_symlink()
    assert end.read_text() == "new"
    assert not end.is_symlink()
    assert seen[0].parent.parent == end.parent
    if exists:
        assert stat.S_IMODE(end.stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o777, 0o222])
def test_permissions_of_an_existing_file_are_kept(tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    path.chmod(mode)
    write_whole(path, words)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_gets_the_permissions_of_new_files(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "file", words)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


@pytest.mark.skipif(os.geteuid() != 0, reason="only an administrator gives files away")
def test_the_owner_of_an_existing_file_is_kept(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    os.chown(path, 12345, 23456)
    write_whole(path, words)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_another_hard_link_keeps_the_old_content(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    os.link(tmp_path / "file", tmp_path / "other")
    write_whole(tmp_path / "file", words)
    assert (tmp_path / "other").read_bytes() == OLD


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/", "a/.", "a/..", "no/folder/file", "plain/below", "plain/", "x" * 300, "a\0b", "\ud800", "d/"],
)
def test_names_that_cannot_be_files(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_bytes(OLD)
    (tmp_path / "d").mkdir()
    for attempt in (lambda: write_whole(name, words), lambda: require_writable(name)):
        with pytest.raises(OSError, match="cannot write ") as caught:
            attempt()
        message = str(caught.value)
        assert "\n" not in message
        assert (name if name and name.isprintable() else repr(name)) in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "plain"]
    assert (tmp_path / "plain").read_bytes() == OLD


@pytest.mark.parametrize("name", ["a b", "ε.safetensors", "a.b.c", "[x].npy", "-", "x" * 255, "a." + "s" * 253, "~"])
def test_names_that_can(tmp_path, name):
    assert write_whole(tmp_path / name, words).read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("path", [None, 3, b"file", ["file"], object()])
def test_paths_are_paths(path):
    for attempt in (write_whole, lambda p, _: require_writable(p), lambda p, _: require_regular(p)):
        with pytest.raises(TypeError, match="`path` must be a path"):
            attempt(path, words)


def test_a_file_does_not_replace_what_it_is_made_from(tmp_path):
    source, link = tmp_path / "points.npy", tmp_path / "link"
    source.write_bytes(OLD)
    link.symlink_to(source)
    for out, other in ((source, source), (link, source), (source, link), (tmp_path / "." / "points.npy", source)):
        with pytest.raises(ValueError, match="it would replace the file"):
            require_writable(out, None, other)
    require_writable(tmp_path / "other.npy", source)


@pytest.fixture
def open_folder():
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_what_is_write_protected_is_refused(open_folder):
    folder = open_folder / "mine"
    folder.mkdir()
    protected = open_folder / "open"
    protected.mkdir()
    (protected / "file").write_bytes(OLD)
    folder.chmod(0o555)
    protected.chmod(0o777)
    (protected / "file").chmod(0o444)
    code = """
        import os, sys
        from constructions.files import require_writable, write_whole
        if os.geteuid() == 0:  # an administrator may write anywhere
            os.setgid(65534)
            os.setuid(65534)
        for path in sys.argv[1:]:
            for attempt in (lambda: write_whole(path, lambda d: d.write_text("new")), lambda: require_writable(path)):
                try:
                    attempt()
                    print("written")
                except OSError as err:
                    print(err)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(folder / "file"), str(protected / "file")]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.stdout.splitlines() == [
        *[f"cannot write {folder / 'file'}: Permission denied"] * 2,
        *[f"cannot write {protected / 'file'}: it is write-protected"] * 2,
    ], found.stderr
    assert (protected / "file").read_bytes() == OLD


# --- failures half-way ----------------------------------------------------------------------------------


def fails(error):
    def write(draft):
        draft.write_bytes(b"half")
        raise error

    return write


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError("3 requested and 1 written"),
        RuntimeError("r"),
        KeyboardInterrupt(),
    ],
    ids=["full", "short", "runtime", "ctrl-c"],
)
def test_a_write_that_fails_leaves_what_was_there(tmp_path, error, exists):
    path = tmp_path / "file.npy"
    if exists:
        path.write_bytes(OLD)
    with pytest.raises(type(error)) as caught:
        write_whole(path, fails(error))
    if isinstance(error, OSError):
        assert str(caught.value) == f"cannot write {path}: {error.strerror or error}"
    assert list(tmp_path.iterdir()) == ([path] if exists else [])
    assert not exists or path.read_bytes() == OLD


def test_a_write_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(OSError, match="cannot write"):
        write_whole(tmp_path / "file", lambda draft: None)
    assert not list(tmp_path.iterdir())


FULL = """
    import resource, sys, numpy as np, torch
    from constructions.files import write_array, write_tensors
    from constructions.distributed_momlp.points import _fill
    from constructions.files import write_whole
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    y = torch.zeros(50_000, 1, dtype=torch.float64)
    writers = (
        lambda path: write_array(path, y.numpy()),
        lambda path: write_tensors(path, {"y": y}, {}),
        lambda path: write_whole(path, lambda d: d.write_bytes(bytes(50_000))),
        lambda path: write_whole(path, lambda d: _fill(d, (50_000, 1), lambda write: write(0, 50_000, y))),
    )
    for write in writers:
        try:
            write(sys.argv[1])
            print("written")
        except OSError as err:
            print(err)
"""


def test_a_disk_that_is_full_is_one_sentence_and_no_half_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), str(path)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all(line.startswith(f"cannot write {path}: ") for line in lines)
    assert path.read_bytes() == OLD
    assert not drafts(tmp_path)


# --- killed processes -----------------------------------------------------------------------------------

SLOW = """
    import signal, sys, time
    from pathlib import Path
    from constructions.files import write_whole

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it

    def write(draft):
        draft.write_bytes(b"half")
        print("started", flush=True)
        time.sleep(600)

    write_whole(sys.argv[1], write)
"""


@pytest.fixture
def slow_writer():
    started = []

    def start(path):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SLOW), str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "started\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_drafts_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path, slow_writer):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    dead, alive = slow_writer(path), slow_writer(path)
    assert len(drafts(tmp_path)) == 2
    dead.kill()
    dead.wait()
    write_whole(tmp_path / "another", words)
    (left,) = drafts(tmp_path)
    assert (left / "draft").read_bytes() == b"half"
    assert path.read_bytes() == OLD
    alive.send_signal(signal.SIGINT)
    alive.wait(timeout=20)
    assert not drafts(tmp_path)


def test_nothing_but_drafts_is_tidied_up(tmp_path):
    """Folders of other names or with other things in them, and links, are none of ours."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "draft").write_bytes(OLD)
    folder = tmp_path / "here"
    for name in ("momlp-draft-mine", "momlp-draft-abcdefgh.old", "xmomlp-draft-abcdefgh", "momlp-draft-abcdefgh"):
        (folder / name).mkdir(parents=True)
        (folder / name / ("notes" if name.endswith("abcdefgh") else "draft")).write_bytes(OLD)
    (folder / "momlp-draft-zzzzzzzz").symlink_to(outside)
    (folder / "momlp-draft-yyyyyyyy").write_bytes(OLD)
    before = state(folder)
    write_whole(folder / "file", words)
    assert {k: v for k, v in state(folder).items() if k != "file"} == before
    assert (outside / "draft").read_bytes() == OLD


def test_many_writers_of_one_file_never_meet_a_missing_draft(tmp_path):
    """A draft folder may be taken for abandoned between its making and its lock; then another one is made."""
    path, errors = tmp_path / "file", []

    def write(number):
        try:
            for _ in range(25):
                write_whole(path, lambda draft: draft.write_text(f"{number}" * 1000))
        except OSError as err:
            errors.append(err)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert len(set(path.read_text())) == 1
    assert not drafts(tmp_path)


# --- reading --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fifo", "socket", "folder", "character device", "link to fifo", "loop"])
def test_reading_waits_for_nobody(tmp_path, kind):
    path = tmp_path / "file"
    SPECIAL[kind](path)
    for read in (require_regular, lambda p: points_file(p, None), load, check_file):
        with pytest.raises((OSError, StoreError), match="cannot read"):
            read(path)


def test_a_checkpoint_that_is_no_file_is_refused(tmp_path, trained):
    os.mkfifo(tmp_path / "state")
    with pytest.raises(StoreError, match=r"cannot resume from .*FIFO"):
        trained(checkpoint=tmp_path / "state")


def test_folders_are_made_or_refused(tmp_path):
    assert require_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(OLD)
    make_loop(tmp_path / "loop")
    for name in ("file", "file/below", "loop", "x" * 300, "a\0b"):
        with pytest.raises(OSError, match="cannot write in "):
            require_folder(tmp_path / name)


def test_an_open_file_limit_is_one_sentence(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (held - 1, hard))
    try:
        with pytest.raises((OSError, StoreError), match="cannot write"):
            write_tensors(tmp_path / "file", {"x": torch.zeros(2)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("log", "why"), [(lambda: None, "one message"), (3, "of a message, got int"), (lambda a, b: None, "one message")]
)
def test_a_log_takes_one_message(log, why):
    with pytest.raises(TypeError, match=f"`log` must be a function .*{why}"):
        require_log(log)


def test_logs_that_do_not_say_what_they_take_are_taken():
    for log in (print, [].append, lambda message, *more: None, lambda *parts: None):
        assert require_log(log) is log

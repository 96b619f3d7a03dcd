"""What a confined process can still do, tried from within: nothing that a model has no need of, with each layer off as well."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.models.confinement import Held, _program, allowed_here
from service.models.vetting import child_environment
from service.settings import PROJECT_DIR
from tests.unit.models.test_vetting import MNIST

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these layers")
OFF = {"nothing": "", "landlock": "c._restrict_files = lambda *_: 0", "seccomp": "c._restrict_calls = lambda *_: False"}
# Each is tried in a process of its own, which prints what came of it. `held_by` are the layers of which one is enough.
ESCAPES = {
    "read the user's files": ("open(canary).read()", {"landlock"}),
    "list the user's files": ("os.listdir(os.path.dirname(canary))", {"landlock"}),
    "read the project's settings": ("open(settings).read()", {"landlock"}),
    "read passwords": ("open('/etc/shadow').read()", {"landlock"}),
    "read another process": ("open(f'/proc/{os.getppid()}/environ', 'rb').read()", {"landlock"}),
    "write elsewhere": ("open(canary + '.new', 'w').write('x')", {"landlock"}),
    "change a file": ("open(canary, 'a').write('x')", {"landlock"}),
    "remove a file": ("os.unlink(canary)", {"landlock"}),
    "move its own file out": ("open('own', 'w').close(), os.rename('own', canary)", {"landlock"}),
    "link to a file": ("os.symlink(canary, 'link')", {"landlock", "seccomp"}),
    "make a device": ("os.mkfifo('device')", {"landlock", "seccomp"}),
    "open a socket": ("socket.socket()", {"seccomp"}),
    "connect": ("socket.create_connection(('127.0.0.1', port), 2)", {"seccomp", "network"}),
    "talk to a local service": ("socket.socket(socket.AF_UNIX).connect('/run/dbus/system_bus_socket')", {"seccomp", "landlock"}),
    "run a program": ("os.execv('/bin/true', ['true'])", {"landlock", "seccomp"}),
    "run a program of its own": (
        "shutil.copy('/bin/true', 'own'), os.chmod('own', 0o700), os.execv('./own', ['own'])",
        {"landlock", "seccomp"},
    ),
    "start a process": ("os.fork() or os._exit(0)", {"seccomp"}),
    "start a program": ("subprocess.run(['/bin/true'], check=True)", {"seccomp", "landlock"}),
    "end another process": ("os.kill(os.getppid(), 15)", {"seccomp", "landlock"}),
    "debug another process": ("call(101 if x86 else 117, 16, os.getppid(), 0, 0)", {"seccomp"}),
    "make a namespace": ("call(272 if x86 else 97, 0x10000000)", {"seccomp"}),
    "mount": ("call(165 if x86 else 40, b'none', b'/tmp', b'tmpfs', 0, 0)", {"seccomp"}),
    "load a program into the kernel": ("call(321 if x86 else 280, 5, 0, 0)", {"seccomp"}),
    "io_uring": ("call(425, 8, ctypes.create_string_buffer(120))", {"seccomp"}),
    "keep a key": ("call(250 if x86 else 219, 0, -3, 0)", {"seccomp"}),
    "clone3": ("call(435, ctypes.create_string_buffer(88), 88)", {"seccomp"}),
}
SCRIPT = """
import ctypes, os, platform, shutil, socket, subprocess, sys
from pathlib import Path
from service.models import confinement as c
canary, settings, port, x86 = {canary!r}, {settings!r}, {port}, platform.machine() == 'x86_64'
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
{off}
held = c.confine(Path.cwd(), cpu_seconds=60)
try:
    {attempt}
except (OSError, subprocess.SubprocessError) as exc:
    print('refused', exc.errno)
else:
    print('done')
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = tmp_path / "own"
    own.mkdir()
    return own


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file of the user's, beside the work folder."""
    file = tmp_path / "secrets" / "canary"
    file.parent.mkdir()
    file.write_text("secret")
    yield file
    assert file.read_text() == "secret"
    assert [each.name for each in file.parent.iterdir()] == ["canary"]


@pytest.fixture(scope="module")
def system() -> Held:
    """What this system allows."""
    return allowed_here()


def attempt(folder: Path, canary: Path, what: str, off: str = "") -> str:
    script = SCRIPT.format(canary=str(canary), settings=str(PROJECT_DIR / "pyproject.toml"), port=9, off=off, attempt=what)
    done = subprocess.run(
        [sys.executable, "-P", "-s", "-B", "-c", script],
        cwd=folder, env=child_environment(folder), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout.strip() or f"ended by {done.returncode}: {done.stderr.strip()[-300:]}"


@LINUX
@pytest.mark.parametrize("off", OFF)
@pytest.mark.parametrize("what", ESCAPES)
def test_nothing_gets_out(folder: Path, canary: Path, system: Held, what: str, off: str) -> None:
    code, held_by = ESCAPES[what]
    here = {name for name in ("landlock", "seccomp", "network") if getattr(system, name)}
    enough = (held_by & here) - {off}
    if not enough:
        return  # this layer alone stands against it, and is off, or missing here
    assert attempt(folder, canary, code, OFF[off]).startswith("refused"), f"held by {enough}"


@LINUX
def test_ci_has_every_layer(system: Held) -> None:
    """Otherwise the attempts above would prove nothing."""
    if os.environ.get("PIXREF_TEST_REQUIRE_ALL") == "1":
        assert system.landlock
        assert system.seccomp
    assert system.limits


def test_what_is_missing_is_said_in_words() -> None:
    assert Held(limits=True, network=True, landlock=7, seccomp=True).missing == []
    assert Held(limits=True, network=False, landlock=0, seccomp=True).missing == [
        "a closed network",
        "closed files (Landlock)",
    ]


@LINUX
def test_what_a_model_needs_is_left(folder: Path, canary: Path) -> None:
    for needed in (
        "open('result', 'w').write('x'), os.mkdir('a'), os.rename('result', 'a/b'), shutil.rmtree('a')",
        "__import__('threading').Thread(target=print).start()",
        "__import__('numpy').ones((500, 500)) @ __import__('numpy').ones((500, 500))",
        "open('/proc/cpuinfo').read(), os.urandom(8), os.cpu_count(), open('/dev/null', 'w').write('x')",
        "__import__('service.models.weights')",
        "ctypes.CDLL('libm.so.6')",
    ):
        assert attempt(folder, canary, needed).splitlines()[-1] == "done", needed


def test_limits_hold_everywhere(folder: Path) -> None:
    code = """
import resource
from pathlib import Path
from service.models.confinement import confine
assert confine(Path.cwd(), cpu_seconds=60).limits
print([resource.getrlimit(kind) for kind in (resource.RLIMIT_CORE, resource.RLIMIT_CPU)])
try:
    bytearray(9 * 1024**3)
except MemoryError:
    print("memory")
"""
    environment = child_environment(folder)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["[(0, 0), (60, 60)]", "memory"]
    assert resource.getrlimit(resource.RLIMIT_CPU) != (60, 60), "this process is not confined"
    assert not any("PIXREF" in name or "SECRET" in name for name in environment)


def test_the_filter_fits_the_kernel() -> None:
    for place, architecture in ((0, 0xC000003E), (1, 0xC00000B7)):
        program = _program(place, architecture)
        assert 50 < len(program) < 4096
        for position, (_, yes, no, _) in enumerate(program[:-1]):
            assert position + 1 + max(yes, no) < len(program), "a jump leads out of the filter"


@pytest.mark.skipif(
    shutil.which("strace") is None and os.environ.get("PIXREF_TEST_REQUIRE_ALL") != "1", reason="strace is not installed"
)
@LINUX
def test_a_vetting_opens_no_foreign_file_and_no_socket(tmp_path: Path, canary: Path) -> None:
    """By what the kernel saw: files that were opened for writing lie in the work folder, none of the user's was opened, and there was no socket."""
    folder = tmp_path / "work"
    folder.mkdir()
    shutil.copy(MNIST, folder / "model.keras")
    (folder / "request.json").write_text(json.dumps({"labels": 10, "preprocessing": None, "cpu_seconds": 300}))
    trace = tmp_path / "trace"
    subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=%file,%network,execve", "-e", "signal=none", "-o", str(trace), "--",
         sys.executable, "-P", "-s", "-B", "-m", "service.models.vetting_child"],
        cwd=folder, env=child_environment(folder), check=True, timeout=170,
    )  # fmt: skip
    assert "accepted" in json.loads((folder / "result.json").read_text())
    lines = trace.read_text(errors="replace").splitlines()
    confined = next(number for number, line in enumerate(lines) if "unshare" in line or str(folder) in line)
    seen = lines[confined:]
    worked = [line for line in seen if " = -1 " not in line]
    assert len(worked) > 1_000
    for line in worked:
        assert "socket(" not in line
        assert "connect(" not in line
        assert str(canary.parent) not in line
        assert "/etc/shadow" not in line
        if ("O_WRONLY" in line or "O_RDWR" in line) and '"/' in line:
            assert f'"{folder}' in line or '"/dev/null"' in line, line

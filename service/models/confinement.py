"""Take from a process, for good, what opening a foreign model does not need: files, network, other processes, and most that the kernel offers.

Four layers, each of which holds without the others, and each of which a system may lack; `Held` says which hold.

limits      memory, processor time, open files, file sizes (setrlimit)
network     a network namespace with nothing in it (unshare)
files       Landlock: code and system libraries can be read, the work folder can be written, nothing else exists, and nothing can be executed
            (https://docs.kernel.org/userspace-api/landlock.html)
calls       seccomp: no sockets, no programs, no processes, no debugging, no mounts, no modules, no io_uring; these calls fail with EPERM
            (https://docs.kernel.org/userspace-api/seccomp_filter.html)

It has to come before the first thread is started, and before anything large is imported. Linux alone; elsewhere the limits hold.
"""

import ctypes
import errno
import json
import os
import platform
import resource
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

GIB = 1024**3
MAX_ADDRESS_SPACE = 8 * GIB
MAX_FILE_BYTES = 1 * GIB
MAX_OPEN_FILES = 256

_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2

# System libraries, what they are found by, and what Python and TensorFlow ask of the machine. No home, no settings, no data.
SYSTEM_PATHS = (
    "/usr", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
    "/proc/sys/vm", "/proc/sys/kernel/random", "/sys/devices/system", "/sys/fs/cgroup", "/dev/urandom", "/dev/random", "/dev/zero",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """Which layers hold in this process. `landlock` is the version of its interface, 0 where there is none."""

    limits: bool
    network: bool
    landlock: int
    seccomp: bool

    @property
    def missing(self) -> list[str]:
        """The layers that this system lacks, in words."""
        words = {
            "limits of memory and time": self.limits,
            "a closed network": self.network,
            "closed files (Landlock)": self.landlock > 0,
            "closed system calls (seccomp)": self.seccomp,
        }
        return [name for name, holds in words.items() if not holds]


def confine(folder: Path, *, cpu_seconds: int) -> Held:
    """Confine this process: from now on it can write in `folder` alone."""
    _limit(cpu_seconds)
    if sys.platform != "linux":
        return Held(limits=True, network=False, landlock=0, seccomp=False)
    libc = ctypes.CDLL(None, use_errno=True)
    # In namespaces of its own the process has no rights over the machine. Some container runtimes refuse this; there their own rules remain.
    network = libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return Held(limits=True, network=network, landlock=0, seccomp=False)
    return Held(limits=True, network=network, landlock=_restrict_files(libc, folder), seccomp=_restrict_calls(libc))


def _limit(cpu_seconds: int) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: MAX_FILE_BYTES,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
    }
    # Other systems know this limit and refuse to set it.
    if sys.platform == "linux":
        limits[resource.RLIMIT_AS] = MAX_ADDRESS_SPACE
    for kind, wanted in limits.items():
        _, hard = resource.getrlimit(kind)
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (limit, limit))


def allowed_here(timeout_s: float = 30) -> Held:
    """Find out what this system allows, by a process that confines itself. Raises `OSError` or `subprocess.SubprocessError` where none can."""
    with tempfile.TemporaryDirectory(prefix="pixref-confinement-") as folder:
        done = subprocess.run(
            [sys.executable, "-P", "-s", "-B", "-m", "service.models.confinement"],
            cwd=folder,
            env={"PATH": os.defpath, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=timeout_s,
        )
    said = json.loads(done.stdout)
    return Held(**{name: said[name] for name in Held.__dataclass_fields__})


# Landlock: bits of the interface's first version; later versions have more, all of which are refused.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH, _VERSION_FLAG = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _REFER, _TRUNCATE = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 13, 1 << 14
_FILE_RIGHTS_OF_VERSION = {1: 13, 2: 14, 3: 15, 4: 15}
_READ = _READ_FILE | _READ_DIR
_OWN = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_ONLY_FILES = _READ_FILE | _WRITE_FILE | _TRUNCATE


def _restrict_files(libc: ctypes.CDLL, folder: Path) -> int:
    version: int = libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    if version < 1:
        return 0
    handled = (1 << _FILE_RIGHTS_OF_VERSION.get(version, 16)) - 1
    network = 0b11 if version >= 4 else 0  # binding and connecting by TCP
    scoped = 0b11 if version >= 6 else 0  # abstract sockets of others, and signals to others
    attributes = struct.pack("=QQQ", handled, network, scoped)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    rules: int = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if rules < 0:
        return 0
    try:
        for path, rights in _allowed(folder):
            _allow(libc, rules, path, rights & handled)
        return version if libc.syscall(_RESTRICT_SELF, rules, 0) == 0 else 0
    finally:
        os.close(rules)


def _allowed(folder: Path) -> Iterator[tuple[Path, int]]:
    yield folder, _OWN
    yield Path("/dev/null"), _READ_FILE | _WRITE_FILE
    yield Path(f"/proc/{os.getpid()}"), _READ
    for path in (*SYSTEM_PATHS, *_code()):
        yield Path(path), _READ


def _code() -> set[str]:
    """Where Python's modules are. Of a folder that holds this project, the package alone: settings and data may lie beside it."""
    package = Path(__file__).resolve().parents[1]
    libraries = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()}
    for entry in sys.path:
        if entry and not (Path(entry) / package.name / "models" / Path(__file__).name).exists():
            libraries.add(entry)
    return libraries | {str(package)}


def _allow(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no rule
    try:
        rule = struct.pack("=Qi", rights if path.is_dir() else rights & _ONLY_FILES, opened)
        libc.syscall(_ADD_RULE, rules, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(opened)


# Numbers of system calls: x86_64, aarch64 (None: it has no such call).
_REFUSED: dict[str, tuple[int, int | None]] = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242), "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268), "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "mount_setattr": (442, 442), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "reboot": (169, 142), "swapon": (167, 224), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "symlink": (88, None),
    "symlinkat": (266, 36), "mknod": (133, None), "mknodat": (259, 33), "setuid": (105, 146), "setgid": (106, 144), "acct": (163, 89),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)
# Signals to this process alone, so that abort() still ends it.
_SIGNALS = {"kill": (62, 129), "tgkill": (234, 131)}
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32 = 0x40000000


def _restrict_calls(libc: ctypes.CDLL) -> bool:
    known = _ARCHITECTURES.get(platform.machine())
    if known is None or sys.maxsize < 2**32:
        return False
    program = _program(*known)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    filter_ = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    result: int = libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0)
    return result == 0


def _program(place: int, architecture: int) -> list[tuple[int, int, int, int]]:
    """Return the filter: instructions of (code, steps if true, steps if false, value), which classic BPF runs from the first on."""
    refused = [number for numbers in _REFUSED.values() if (number := numbers[place]) is not None]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if place == 0:
        # The same calls under other numbers.
        program += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    for number in refused:
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    # Its flags are behind a pointer, where no filter sees them; without it, libraries take the older call.
    program += [(_EQUAL, 0, 1, _CLONE3[place]), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    # Threads, and no processes.
    program += [
        (_EQUAL, 0, 4, _CLONE[place]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_HAS_BITS, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    for numbers in _SIGNALS.values():
        program += [
            (_EQUAL, 0, 4, numbers[place]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_EQUAL, 1, 0, os.getpid()),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ]
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def main() -> None:
    """Confine this process, and print what holds: how others find out what a system allows."""
    held = confine(Path.cwd(), cpu_seconds=60)
    sys.stdout.write(json.dumps(asdict(held)) + "\n")


if __name__ == "__main__":
    main()

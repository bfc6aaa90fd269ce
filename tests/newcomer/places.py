"""The conditions in which a newcomer may clone: each function creates one in an empty folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.newcomer.newcomer import Newcomer, RowFailed, RowSkipped

ROOT = Path(__file__).resolve().parents[2]
NETWORK_FILES = (".config/pip/pip.conf", ".pip/pip.conf", ".m2/settings.xml")
DEBIAN_PACKAGES = "python3,python3-venv,git,make,ca-certificates,procps"
DEBIAN_FILES = ("etc/resolv.conf", "etc/hosts", "etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")


def plain(folder: Path, *, clone: str = "stumble", python: str = "", mode: int = 0o755) -> Newcomer:
    """Return a newcomer whose clone is in a home of `mode`."""
    home = folder / "home"
    home.mkdir(mode=mode)
    copy_network_files(home)
    newcomer = Newcomer(folder, home, home / clone, python or own_python())
    make_clone(newcomer.clone)
    return newcomer


def private_home(folder: Path) -> Newcomer:
    """Return root with a home that only root may enter."""
    return plain(folder, mode=0o700)


def private_umask(folder: Path) -> Newcomer:
    """Return root with a umask that makes its files unreadable for other users."""
    newcomer = plain(folder)
    newcomer.umask = "077"
    shutil.rmtree(newcomer.clone)
    make_clone(newcomer.clone, umask="077")
    return newcomer


def without_capability(folder: Path) -> Newcomer:
    """Return root in a private home and without the capability to override permissions."""
    newcomer = plain(folder, mode=0o700)
    newcomer.wrapper = ["setpriv", "--bounding-set", "-dac_override"]
    return newcomer


def unprivileged(folder: Path) -> Newcomer:
    """Return the user nobody in a home of mode 0700, with a Python that this user can run."""
    user = pwd.getpwnam("nobody")
    become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    usable = [path for path in pythons().values() if can_make_venv(path, become)]
    if not usable:
        raise RowSkipped("no Python here can be run by another user: apt-get install python3-venv")
    newcomer = plain(folder, mode=0o700, python=usable[0])
    newcomer.wrapper = become
    for path in (newcomer.home, *newcomer.home.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    return newcomer


def odd_path(folder: Path) -> Newcomer:
    """Return a newcomer whose path has a space and a letter beyond ASCII."""
    return plain(folder, clone="my clone é")


def no_locale(folder: Path) -> Newcomer:
    """Return a newcomer without any variable of the locale, whose path has letters beyond ASCII."""
    newcomer = odd_path(folder)
    del newcomer.environment["LANG"]
    return newcomer


def with_python(version: str) -> Callable[[Path], Newcomer]:
    """Return a function that creates a newcomer with this version of Python."""

    def prepare(folder: Path) -> Newcomer:
        if version not in pythons():
            raise RowSkipped(f"no Python {version} with venv here: apt-get install python{version}-venv")
        return plain(folder, python=pythons()[version])

    return prepare


def noexec_tmp(folder: Path) -> Newcomer:
    """Return a newcomer with a /tmp in which no program can be executed."""
    newcomer = plain(folder)
    newcomer.mounts = "mount -t tmpfs -o noexec,nosuid,nodev,mode=1777 none /tmp"
    return newcomer


def full_disk(folder: Path) -> Newcomer:
    """Return a newcomer whose clone is on a disk with some 50 MB left."""
    newcomer = plain(folder)
    (folder / "disk").mkdir()
    source, newcomer.clone = newcomer.clone, folder / "disk" / "stumble"
    newcomer.mounts = f'mount -t tmpfs -o size=70m none "$FOLDER/disk" && cp -r {source} "$FOLDER/disk"'
    return newcomer


def debian_13(folder: Path) -> Newcomer:
    """Return root on a fresh minimal Debian 13, with the clone in /root and Debian's Python."""
    if not shutil.which("debootstrap"):
        raise RowSkipped("debootstrap is not installed: apt-get install debootstrap")
    system = folder / "debian"
    command = ["debootstrap", "--variant=minbase", f"--include={DEBIAN_PACKAGES}", "trixie", str(system)]
    log = folder / "debootstrap.txt"
    for attempt in (1, 2):  # it downloads a hundred packages, and fails if one of them is not available immediately
        with log.open("wb") as output:
            if subprocess.run(command, check=False, stdout=output, stderr=output).returncode == 0:
                break
        if attempt == 2:
            raise RowFailed(f"debootstrap failed:\n{log.read_text(errors='replace')[-1000:]}")
        shutil.rmtree(system, ignore_errors=True)
    for name in DEBIAN_FILES:
        if Path("/", name).exists():
            shutil.copyfile(Path("/", name), system / name)
    copy_network_files(system / "root")
    make_clone(system / "root" / "stumble")
    newcomer = Newcomer(folder, Path("/root"), Path("/root/stumble"), "python3", system)
    newcomer.mounts = " && ".join(
        f'mount {options} "$FOLDER/debian/{name}"'
        for name, options in (("proc", "-t proc proc"), ("dev", "--rbind /dev"), ("sys", "--rbind /sys"))
    )
    newcomer.wrapper = ["chroot", str(system)]
    return newcomer


def make_clone(target: Path, umask: str = "022") -> None:
    """Clone HEAD of this checkout."""
    command = ["sh", "-c", f'umask {umask}; exec git clone -q "$1" "$2"', "sh", str(ROOT), str(target)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RowFailed(f"git clone failed: {done.stderr}")


def copy_network_files(home: Path) -> None:
    """Copy the user's settings of pip and Maven, which have the access to the network."""
    for name in NETWORK_FILES:
        if (Path.home() / name).exists():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path.home() / name, home / name)


def own_python() -> str:
    """Return the base interpreter of this process, not that of a virtual environment."""
    return str(Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}"))


def pythons() -> dict[str, str]:
    """Return the interpreters here that can make a virtual environment, by version; those of the system first."""
    by_version = {}
    for version in ("3.11", "3.12", "3.13"):
        name = f"python{version}"
        candidates = [Path("/usr/bin", name), Path(shutil.which(name) or "/nowhere")]
        candidates += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}"))
        usable = [str(path) for path in candidates if path.exists() and can_make_venv(str(path), [])]
        if usable:
            by_version[version] = usable[0]
    return by_version


def can_make_venv(python: str, wrapper: list[str]) -> bool:
    """Return whether an interpreter runs, and has venv and ensurepip."""
    done = subprocess.run([*wrapper, python, "-c", "import venv, ensurepip"], check=False, capture_output=True, cwd="/")
    return done.returncode == 0

"""`make newcomer`: the first command of the README in new clones, one for each condition that a new user may have.

Each row clones HEAD of this checkout, runs `make run ARGS=--no-follow` with the environment of a login shell and with
empty caches until the API lists a failure, sends Ctrl-C, and checks that no process is left. Two rows also run one
scenario of `make nova`; others expect that `make run` refuses in one sentence. Rows that need another user, a mount or
another root directory are run by root in a mount namespace, and are skipped for other users.

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.newcomer import attempts, places
from tests.newcomer.newcomer import Newcomer, RowFailed, RowSkipped


@dataclass(frozen=True)
class Row:
    """One row of the table: `prepare` creates the newcomer in an empty folder, `attempt` raises RowFailed on errors."""

    name: str
    condition: str
    prepare: Callable[[Path], Newcomer]
    attempt: Callable[[Newcomer], None] = attempts.first_failure
    result: str = "works"
    needs_root: bool = False
    #: Whether the row may be skipped with --no-skip: Python versions, of which one is enough.
    optional: bool = False


_REFUSED = "refused in one sentence before anything is fetched"


def _python(version: str) -> Row:
    return Row(
        f"python-{version}",
        f"Python {version}, also `make nova` with one scenario",
        places.with_python(version),
        attempts.first_failure_and_nova,
        "works; Nova's environment is complete and the record is right",
        optional=True,
    )


#: The slowest rows come first, so that two parallel runs end at about the same time.
ROWS = (
    _python("3.12"),
    _python("3.13"),
    Row("debian-13", "a new minimal Debian 13: root, clone in /root", places.debian_13, needs_root=True),
    Row("python-3.11", "Python 3.11", places.with_python("3.11"), optional=True),
    Row("root-0700", "root, below a folder that only root may enter (mode 0700)", places.private_home, needs_root=True),
    Row("root-umask-077", "root, umask 077", places.private_umask, needs_root=True),
    Row("user-0700", "another user than root, in a home of mode 0700", places.unprivileged, needs_root=True),
    Row("odd-path", "a path with a space and an é", places.odd_path),
    Row("no-locale", "such a path, `LANG` and `LC_*` not set", places.no_locale),
    Row("tmp-noexec", "`/tmp` mounted noexec", places.noexec_tmp, needs_root=True),
    Row(
        "port-in-use", f"port {attempts.API_PORT} in use", places.plain,
        attempts.another_port, "works on another port, which is printed",
    ),
    Row(
        "second-run", "a second `make run` in the same checkout", places.plain,
        attempts.second_run_is_refused, "refused in one sentence; the first is not disturbed",
    ),
    Row(
        "full-disk", "a disk with 50 MB left", places.full_disk,
        attempts.full_disk_is_refused, _REFUSED, needs_root=True,
    ),
    Row(
        "root-no-capability", "root, mode 0700, in a container without CAP_DAC_OVERRIDE", places.without_capability,
        attempts.unreachable_folder_is_refused, _REFUSED, needs_root=True,
    ),
)  # fmt: skip


def try_row(row: Row, base: Path, newcomers: list[Newcomer], *, keep: bool) -> str:
    """Run one row, and add its newcomer to `newcomers`; return "green", or the reason of the failure."""
    print_line(f"{row.name}: {row.condition}")
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"{row.name}-", dir=base))
    folder.chmod(0o755)
    newcomer = None
    try:
        if row.needs_root and os.geteuid() != 0:
            raise RowSkipped("only root can prepare it")  # noqa: TRY301
        newcomer = row.prepare(folder)
        newcomers.append(newcomer)
        row.attempt(newcomer)
    except RowSkipped as skipped:
        result = f"skipped: {skipped}"
    except (RowFailed, OSError, subprocess.SubprocessError) as failure:
        result = f"FAILED: {failure}"
    else:
        result = "green"
    finally:
        if newcomer:
            newcomer.stop()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    print_line(f"{row.name}: {result} ({time.monotonic() - started:.0f} s)" + (f", kept in {folder}" if keep else ""))
    return result


def print_line(text: str) -> None:
    """Print progress."""
    sys.stdout.write(f"newcomer: {text}\n")  # one write, because two rows run in parallel
    sys.stdout.flush()


def main() -> int:
    """Run the chosen rows; 0 if all are green."""
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=names, metavar="ROW", help="one of " + ", ".join(names))
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where to clone")
    parser.add_argument("--parallel", type=int, default=2, help="parallel rows (2)")
    parser.add_argument("--keep", action="store_true", help="keep clones and outputs")
    parser.add_argument(
        "--no-skip", action="store_true", help="an error if a required row, or each optional one, is skipped"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with SIGINT ignored
    rows = [row for row in ROWS if row.name in (options.only or names)]
    status = ["git", "-C", str(places.ROOT), "status", "--porcelain"]
    if subprocess.run(status, check=False, capture_output=True).stdout:
        print_line("this checkout has changes that are not committed; the rows do not include them")
    base = Path(tempfile.mkdtemp(prefix="stumble-newcomer-", dir=options.folder))
    base.chmod(0o755)
    newcomers: list[Newcomer] = []
    pool = ThreadPoolExecutor(options.parallel)
    try:
        results = list(pool.map(lambda row: try_row(row, base, newcomers, keep=options.keep), rows))
    except KeyboardInterrupt:
        print_line("stopped")
        return 130
    finally:
        for newcomer in newcomers:
            newcomer.stop()
        pool.shutdown(cancel_futures=True)
        if not options.keep:
            shutil.rmtree(base, ignore_errors=True)
    green = sum(result == "green" for result in results)
    skipped = [row for row, result in zip(rows, results, strict=True) if result.startswith("skipped")]
    missing = [row.name for row in skipped if options.no_skip and not row.optional]
    optional = [row for row in rows if row.optional]
    if options.no_skip and all(row in skipped for row in optional):  # one of these versions is required
        missing += [row.name for row in optional]
    print_line(f"{green} of {len(rows)} rows are green, {len(skipped)} skipped")
    if missing:
        print_line("skipped, but required by --no-skip: " + ", ".join(missing))
    return 0 if green + len(skipped) == len(rows) and not missing else 1


if __name__ == "__main__":
    sys.exit(main())

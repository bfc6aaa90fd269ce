"""Remove the state folder of `make run`, unless a run uses it: ``clean_state.py FOLDER``."""

import fcntl
import shutil
import sys
from pathlib import Path


def main(folder: Path) -> int:
    """Remove `folder`; return 1, with a message, if a run uses it or it isn't a state folder."""
    if not folder.exists():
        print(f"{folder} does not exist")
        return 0
    if not (folder / "lock").exists():
        print(f"stumble: {folder} is not a state folder of stumble; remove it yourself if you want to", file=sys.stderr)
        return 1
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"stumble: a run (pid {lock.read().strip()}) uses it; stop it first with Ctrl-C", file=sys.stderr)
            return 1
        shutil.rmtree(folder)
    print(f"{folder} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

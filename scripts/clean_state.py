"""Remove the state folder of `make run`, unless something runs in it: ``clean_state.py FOLDER``."""

import fcntl
import shutil
import sys
from pathlib import Path


def main(folder: Path) -> int:
    """Remove `folder`; 1 with a sentence if a run uses it or it isn't one of ours."""
    if not folder.exists():
        print(f"there is nothing in {folder}")
        return 0
    if not (folder / "lock").exists():
        print(f"stumble: {folder} isn't a state folder of stumble's; remove it by hand if you mean it", file=sys.stderr)
        return 1
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"stumble: it still runs (pid {lock.read().strip()}); stop it first with Ctrl-C", file=sys.stderr)
            return 1
        shutil.rmtree(folder)
    print(f"{folder} is forgotten")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

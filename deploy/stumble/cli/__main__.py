"""``python -m stumble.cli`` is ``stumble``."""

from stumble.cli import main

main()

"""``python -m stumble.deploy.cli`` is ``stumble``."""

from stumble.deploy.cli import main

main()

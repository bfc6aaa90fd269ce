"""``python -m stumble.cli`` runs the command ``stumble``."""

from stumble.cli import main

main()

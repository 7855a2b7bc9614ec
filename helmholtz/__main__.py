"""``python -m helmholtz``."""

from helmholtz.cli import main

main()

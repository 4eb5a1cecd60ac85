"""Run the command line as ``python -m darkpenguin.generator``."""

from .cli import main

main()

"""Runs the bots: ``python -m scripts.botlib``, or ``scripts/bots`` from a shell."""

import sys

from scripts.botlib.cli import main

sys.exit(main())

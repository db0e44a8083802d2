"""Runs the benchmark: ``python -m scripts.benchlib``, or ``scripts/bench`` from a shell."""

import sys

from scripts.benchlib.cli import main

sys.exit(main())

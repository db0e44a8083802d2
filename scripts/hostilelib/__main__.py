"""``python -m scripts.hostilelib``."""

import sys

from scripts.hostilelib.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

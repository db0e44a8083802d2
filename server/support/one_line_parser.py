"""A reader of command lines that complains in a single line."""

import argparse
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose complaints are one line on standard error, and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Complain and exit."""
        # argparse quotes what was given as it is, line ends and escape sequences included.
        line = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in message)
        self.exit(2, f"{self.prog}: {line}\n")

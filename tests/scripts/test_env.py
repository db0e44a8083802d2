"""Whose environments the scripts make, use and leave alone, with a pretended interpreter."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]

PRETENDER: Final = """#!/bin/bash
case $1:${2-} in
    -c:*) printf '%s' "$0" ;;
    -m:venv) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
    -m:pip) [[ ! -f ${0%/*}/../../broken ]] ;;
    *) printf 'served with %s\\n' "$0" ;;
esac
"""
"""Finds itself good enough, makes environments with nothing but itself, and installs nothing."""

SCRIPT: Final = """#!/usr/bin/env bash
set -euo pipefail
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/_env"
ensure_env "$1"
"$VENV_PYTHON" go
"""


class Checkout:
    """A checkout with nothing in it but what environments are made from."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        (self.root / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "_env", self.root / "scripts")
        for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
            (self.root / name).write_text(name)
        self.script = self.root / "scripts" / "script"
        self.python = folder / "python"
        for path, text in ((self.script, SCRIPT), (self.python, PRETENDER)):
            path.write_text(text)
            path.chmod(0o755)

    def run(self, level: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.script, level],
            env=os.environ | {"PYTHON": str(self.python)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def serves(self, level: str) -> list[str]:
        """Run it well; give what it said on the way."""
        done = self.run(level)
        name = {"run": ".venv", "dev": ".venv-dev"}[level]
        assert done.stdout == f"served with {self.root / name}/bin/python\n", done.stderr
        return done.stderr.splitlines()

    def files(self) -> dict[str, bytes]:
        """Give all files in it with what they contain."""
        paths = [path for path in self.root.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in paths}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_an_environment_is_made_once(checkout: Checkout) -> None:
    assert checkout.serves("run") == ["parley: making the Python environment in .venv, once"]
    assert checkout.serves("run") == []


def test_development_has_an_environment_of_its_own(checkout: Checkout) -> None:
    checkout.serves("run")
    served = checkout.files()

    assert checkout.serves("dev") == ["parley: making the Python environment in .venv-dev, once"]

    assert served.items() <= checkout.files().items()
    assert checkout.serves("run") == []


def test_new_requirements_are_installed_in_place(checkout: Checkout) -> None:
    checkout.serves("run")
    (checkout.root / "requirements.lock").write_text("more")

    assert checkout.serves("run") == ["parley: updating the Python environment in .venv"]
    assert checkout.serves("run") == []


def test_requirements_of_development_do_not_matter_to_the_server(checkout: Checkout) -> None:
    checkout.serves("run")
    (checkout.root / "requirements-dev.lock").write_text("more")

    assert checkout.serves("run") == []


def test_what_an_interruption_left_is_made_anew(checkout: Checkout) -> None:
    broken = checkout.root / "broken"
    broken.touch()
    failed = checkout.run("run")
    assert (failed.returncode, failed.stdout) == (1, "")
    broken.unlink()
    rest = checkout.root / ".venv" / "rest"
    rest.touch()

    assert len(checkout.serves("run")) == 1
    assert checkout.serves("run") == []


def test_an_environment_of_another_tool_is_not_touched(checkout: Checkout) -> None:
    (checkout.root / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(checkout.python, checkout.root / ".venv" / "bin" / "python")
    before = checkout.files()

    done = checkout.run("run")

    assert (done.returncode, done.stdout) == (1, "")
    why, what_to_do = done.stderr.splitlines()
    assert "was not made by these scripts" in why
    assert "move it away" in what_to_do
    assert checkout.files() == before


def strangers(path: Path) -> None:
    """Give a folder to somebody else."""
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    else:  # one that is root's stands in for it
        shutil.rmtree(path)
        path.symlink_to("/usr")


def test_what_belongs_to_somebody_else_is_used_while_it_fits(checkout: Checkout) -> None:
    checkout.serves("run")
    if os.geteuid() == 0:
        strangers(checkout.root / ".venv")
    assert checkout.serves("run") == []


@pytest.mark.parametrize("runs", [True, False])
def test_what_belongs_to_somebody_else_is_never_changed(checkout: Checkout, runs: bool) -> None:
    checkout.serves("run")
    (checkout.root / "requirements.lock").write_text("more")
    if not runs:
        (checkout.root / ".venv" / "bin" / "python").unlink()
    strangers(checkout.root / ".venv")
    before = checkout.files()

    done = checkout.run("run")

    assert (done.returncode, done.stdout) == (1, "")
    why, what_to_do = done.stderr.splitlines()
    assert f"{checkout.root}/.venv belongs to " in why
    assert "a checkout of your own" in what_to_do
    assert checkout.files() == before

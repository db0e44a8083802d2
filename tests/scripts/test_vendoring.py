"""``scripts/vendor``, with an npm that installs what the test has prepared."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

NPM = """#!{python}
import json, pathlib, sys
assert sys.argv[1:3] == ["install", "--ignore-scripts"], sys.argv
name, _, version = sys.argv[-1].rpartition("@")
here = pathlib.Path("node_modules")
def make(folder, name, version, licence):
    (here / folder).mkdir(parents=True)
    described = {{"name": name, "version": version, "license": "MIT"}}
    (here / folder / "package.json").write_text(json.dumps(described))
    (here / folder / "LICENSE").write_text(licence)
make(name, name, version, "our licence")
(here / name / "dist").mkdir()
(here / name / "dist" / "script.js").write_text("script {script}")
(here / name / "dist" / "package.json").write_text('{{"type": "module"}}')
make("@scope/part", "@scope/part", "2.0.0", "the licence of a part")
make("@scope/part/fixtures/no-part", "no-part", "3.0.0", "not shipped")
lock = {{"packages": {{f"node_modules/{{name}}": {{"integrity": f"sha512-{{version}}"}}}}}}
pathlib.Path("package-lock.json").write_text(json.dumps(lock))
"""

FILES = {"script.js": "dist/script.js", "LICENSE": "LICENSE", "LICENSES-BUNDLED.txt": "all"}


class Checkout:
    """A copy of the script beside a manifest, and an npm in front of the path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.vendor = folder / "server" / "http" / "vendor"
        self.vendor.mkdir(parents=True)
        (folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "vendoring.py", folder / "scripts")
        files = [{"name": name, "from": from_} for name, from_ in FILES.items()]
        manifest = {"package": "a-package", "version": "1.0.0", "files": files}
        (self.vendor / "manifest.json").write_text(json.dumps(manifest))
        self.publish("one")

    def publish(self, script: str) -> None:
        npm = self._folder / "bin" / "npm"
        npm.parent.mkdir(exist_ok=True)
        npm.write_text(NPM.format(python=sys.executable, script=script))
        npm.chmod(0o755)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = f"{self._folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [sys.executable, self._folder / "scripts" / "vendoring.py", *arguments],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.vendor.iterdir()}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    checkout = Checkout(tmp_path)
    done = checkout.run("--update", "1.2.3")
    assert done.returncode == 0, done.stderr
    return checkout


def test_an_update_writes_the_files_and_their_hashes(checkout: Checkout) -> None:
    found = checkout.contents()
    manifest = json.loads(found["manifest.json"])

    assert (manifest["version"], manifest["integrity"]) == ("1.2.3", "sha512-1.2.3")
    assert found["script.js"] == b"script one"
    for each in manifest["files"]:
        assert each["sha256"] == hashlib.sha256(found[each["name"]]).hexdigest()
        assert each["bytes"] == len(found[each["name"]])


def test_the_licences_are_those_of_the_packages_and_of_no_folder_inside_one(
    checkout: Checkout,
) -> None:
    text = checkout.contents()["LICENSES-BUNDLED.txt"].decode()

    assert "a-package 1.2.3 (MIT)\n\nour licence\n" in text
    assert "@scope/part 2.0.0 (MIT)\n\nthe licence of a part\n" in text
    assert "no-part" not in text


def test_the_same_again_changes_nothing(checkout: Checkout) -> None:
    before = checkout.contents()
    (checkout.vendor / "script.js").unlink()

    done = checkout.run()

    assert done.returncode == 0, done.stderr
    assert checkout.contents() == before


def test_another_content_under_the_same_version_is_refused_and_not_written(
    checkout: Checkout,
) -> None:
    before = checkout.contents()
    checkout.publish("two")

    done = checkout.run()

    assert done.returncode == 1
    assert done.stderr == "vendor: not what the manifest says: script.js\n"
    assert checkout.contents() == before

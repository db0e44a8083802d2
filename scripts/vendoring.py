"""Fetches the vendored files from the npm registry, as published, and verifies their hashes."""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent.parent / "server" / "http" / "vendor"
MANIFEST: Final = FOLDER / "manifest.json"
BUNDLED: Final = "LICENSES-BUNDLED.txt"
"""The licences of the packages that the publisher has compiled into the script."""


def main() -> int:
    """Write the files that the manifest names, or with ``--update`` a new manifest as well.

    Returns:
        The exit code: 1 if a file is not what the manifest says; nothing is written then.
    """
    parser = argparse.ArgumentParser(prog="scripts/vendor", description=__doc__)
    parser.add_argument("--update", metavar="VERSION", help="take this version of the package")
    version = parser.parse_args().update
    manifest = json.loads(MANIFEST.read_text("utf-8"))
    if version is not None:
        manifest["version"] = version
        # Dependencies have no pins of their own: what was published by then makes them repeatable.
        manifest["published_before"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with tempfile.TemporaryDirectory() as temporary:
        integrity = install(Path(temporary), manifest)
        found = dict(collect(Path(temporary) / "node_modules", manifest))
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    if version is None:
        expected = {each["name"]: each["sha256"] for each in manifest["files"]}
        wrong = sorted(name for name in expected if hashes.get(name) != expected[name])
        if manifest["integrity"] != integrity:
            wrong.append("the package")
        if wrong:
            print(f"vendor: not what the manifest says: {', '.join(wrong)}", file=sys.stderr)
            return 1
    manifest["integrity"] = integrity
    for each in manifest["files"]:
        each["sha256"], each["bytes"] = hashes[each["name"]], len(found[each["name"]])
        (FOLDER / each["name"]).write_bytes(found[each["name"]])
        print(f"{each['sha256']}  {each['name']}")
    MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    return 0


def install(folder: Path, manifest: dict[str, Any]) -> str:
    """Let npm fetch the package and what it depends on; run none of their scripts.

    Returns:
        The integrity of the package's archive, which npm has verified.
    """
    package = manifest["package"]
    (folder / "package.json").write_text('{"private": true}')
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]
    command += ["--loglevel=error", f"--before={manifest['published_before']}"]
    subprocess.run(
        [*command, f"{package}@{manifest['version']}"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    lock = json.loads((folder / "package-lock.json").read_text("utf-8"))
    integrity: str = lock["packages"][f"node_modules/{package}"]["integrity"]
    return integrity


def collect(modules: Path, manifest: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Give the name and the content of each file that the manifest names."""
    for each in manifest["files"]:
        if each["name"] == BUNDLED:
            yield BUNDLED, licences(modules).encode()
        else:
            yield each["name"], (modules / manifest["package"] / each["from"]).read_bytes()


def licences(modules: Path) -> str:
    """Join the licence texts of all packages, each below the package's name and version."""
    texts = []
    for described in sorted(modules.rglob("package.json")):
        above = described.parents[1]
        if (above.parent if above.name.startswith("@") else above).name != "node_modules":
            continue  # inside a package
        package = json.loads(described.read_text("utf-8"))
        if not {"name", "version"} <= set(package):
            continue  # says only how the files of a folder are to be read
        files = sorted(
            path for path in described.parent.iterdir() if path.stem.upper().startswith("LICEN")
        )
        title = f"{package['name']} {package['version']} ({package.get('license', 'see below')})"
        texts.append("\n\n".join([title, *(path.read_text("utf-8").strip() for path in files)]))
    return f"\n\n{'-' * 80}\n\n".join(texts) + "\n"


if __name__ == "__main__":
    sys.exit(main())

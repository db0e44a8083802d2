"""Makes the fuzzing client of autobahntestsuite 25.10.1, which is Python 2, run on Python 3.

Usage: port.py SDIST DIRECTORY

Only the fuzzing client and the cases are taken, without those of compression, which Parley does
not offer, and the long ones of 9.7 to 9.9. In the result a byte string is a ``str`` of the
characters U+0000 to U+00FF, as it was in Python 2: that keeps all cases as they were written, and
``client.py`` converts at the border. So the sources are read as Latin-1, go through what used to
be lib2to3, and then some lines are replaced; each of them must be there, or this fails.
"""

import re
import sys
import tarfile
from pathlib import Path, PurePosixPath
from typing import Final

from fissix import refactor  # type: ignore[import-not-found]  # is in .venv-autobahn only

PACKAGE: Final = "autobahntestsuite3"

_FIXES: Final = (
    "print", "except", "raise", "has_key", "xrange", "unicode",
    "dict", "map", "filter", "ne", "numliterals", "long",
)  # fmt: skip

_MODULES: Final = {"fuzzing.py", "caseset.py", "_version.py"}
_LEFT_OUT: Final = r"ase(?:12|13|9_[789])"

_PATTERNS: Final = {
    # Every line that mentions a case which is left out.
    "case/__init__.py": rf"(?m)^.*[Cc]{_LEFT_OUT}.*\n",
    # The reports in HTML need templates, and nobody reads them here.
    "fuzzing.py": r"(?ms)^from report import .*?^$",
}
"""What is deleted."""

_LINES: Final = {
    # Equal lists may be pickled differently, because of what they share.
    "case/case.py": {"pickle.dumps(obj1) == pickle.dumps(obj2)": "obj1 == obj2"},
    "case/case6_x_x.py": {"v.validate(vss[:i])": 'v.validate(vss[:i].encode("latin-1"))'},
    "case/case10_1_1.py": {"len(self.payload) / self.p": "len(self.payload) // self.p"},
    "fuzzing.py": {
        ", textwrap, pkg_resources": ", textwrap",
        "from twisted.internet import reactor, ssl": (
            "from twisted.internet import reactor; ssl = None"
        ),
        "from twisted.web.server import Site\nfrom twisted.web.static import File\n": "",
        "import autobahntestsuite\n": (
            "from . import _version as autobahntestsuite\n"
            "autobahntestsuite.version = autobahntestsuite.__version__\n"
        ),
        "self.contextFactory = ssl.ClientContextFactory()": "self.contextFactory = None",
        "return dd.decode('utf8',": "return dd.encode('latin-1').decode('utf8',",
        "produceHtml = True, produceJson = True": "produceHtml = False, produceJson = True",
    },
}
"""What is replaced, once each."""

_HEX: Final = '''\
import binascii


def to_hex(data):
    """Write bytes, or a str that stands for bytes, in hexadecimal."""
    return binascii.b2a_hex(data.encode("latin-1") if isinstance(data, str) else data).decode()
'''


def main(sdist: Path, directory: Path) -> None:
    """Write the package :data:`PACKAGE` below ``directory``."""
    tool = refactor.RefactoringTool([f"fissix.fixes.fix_{fix}" for fix in _FIXES])
    package = directory / PACKAGE
    for name, source in _read(sdist).items():
        ported = _port(name, source, tool)
        compile(ported, name, "exec")
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ported, "utf-8")
    (package / "__init__.py").touch()
    (package / "_hex.py").write_text(_HEX, "utf-8")


def _read(sdist: Path) -> dict[str, str]:
    """Read the modules that are wanted, by their path inside the package."""
    found = {}
    with tarfile.open(sdist) as archive:
        for member in archive.getmembers():
            parts = PurePosixPath(member.name).parts[1:]
            name = "/".join(parts[1:])
            wanted = name in _MODULES or (
                name.startswith("case/")
                and name.endswith(".py")
                and not re.match(f"case/c{_LEFT_OUT}", name)
            )
            content = archive.extractfile(member)
            if parts[:1] == ("autobahntestsuite",) and wanted and content is not None:
                found[name] = content.read().decode("latin-1").replace("\r\n", "\n")
    return found


def _port(name: str, source: str, tool: refactor.RefactoringTool) -> str:
    text = re.sub(r"(?m)^#.*coding[=:].*\n", "", source)
    if name in _PATTERNS:
        text, count = re.subn(_PATTERNS[name], "", text)
        _expect(count > 0, name, _PATTERNS[name])
    text = str(tool.refactor_string(text.rstrip() + "\n", name))
    for old, new in _LINES.get(name, {}).items():
        _expect(text.count(old) == 1, name, old)
        text = text.replace(old, new)
    text = re.sub(r"(?m)^from (case[0-9]\w*|case|caseset) import", r"from .\1 import", text)
    text = text.replace("(object, Case, )", "(Case, )")
    if "binascii.b2a_hex(" in text:
        text = text.replace("binascii.b2a_hex(", "to_hex(")
        text = f"from {PACKAGE}._hex import to_hex\n{text}"
    return text


def _expect(found: bool, name: str, what: str) -> None:
    if not found:
        sys.exit(f"port: {name} is not as expected: {what!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

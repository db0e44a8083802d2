"""The table of memory in server/README.md: read, and worked out."""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from server.support.limits import Limits
from tests.wire.process import ROOT

DOCUMENT: Final = ROOT / "server" / "README.md"
HEADING: Final = "### Memory, at worst"

MEASURED, BOUND = "measured", "bound"

_OPERATORS: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@attrs.frozen
class Row:
    """Something that takes memory."""

    what: str
    each: str
    """Bytes of one, as an expression of numbers and fields of ``Limits``."""
    many: str
    kind: str
    """Whether the bytes were measured, or are a bound that nobody reaches."""

    def bytes_each(self, limits: Limits) -> float:
        """Work out the bytes of one under these limits."""
        return evaluate(self.each, limits)


def evaluate(text: str, limits: Limits) -> float:
    """Work out an expression as people write it: ``9 * 1 024 + head_bytes``.

    Raises:
        ValueError: if it is none, or has anything but numbers, fields and the four operations.
    """
    plain = re.sub(
        r"(?<=\d) (?=\d{3}\b)", "", text.replace("`", "").replace("\N{MULTIPLICATION SIGN}", "*")
    )
    try:
        return _work_out(ast.parse(plain, mode="eval").body, limits)
    except (SyntaxError, AttributeError):
        raise ValueError(f"no expression of bytes: {text}") from None


def _work_out(node: ast.expr, limits: Limits) -> float:
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=field):
            return float(getattr(limits, field))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_work_out(left, limits), _work_out(right, limits))
        case _:
            raise ValueError(f"not allowed: {ast.unparse(node)}")


def rows() -> dict[str, Row]:
    """Read the table; by what the rows are about."""
    _, _, text = DOCUMENT.read_text(encoding="utf-8").partition(HEADING)
    lines = [line for line in text.split("\n#", 1)[0].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    found = [Row(*each) for each in cells]
    return {row.what: row for row in found}

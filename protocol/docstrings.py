"""What the sources of attrs classes and enumerations say of them: docstrings, also of attributes.

The interpreter drops strings that stand below an attribute, so they are read from the source.
Where there is none, as in an archive of compiled files, nothing is said.
"""

import ast
import inspect
import re
from typing import Final

Docs = dict[str, dict[str, str]]
"""Of one module: what is said of each class's attributes."""

_ROLE: Final = re.compile(r":[a-z]+:`~?(?:[\w.]*\.)?(\w+)`")


class Docstrings:
    """Reads each module once."""

    def __init__(self) -> None:
        """Have nothing read yet."""
        self._modules: dict[str, Docs] = {}

    def of_class(self, kind: type) -> str:
        """Give what is said of a class, as Markdown."""
        return as_markdown(kind.__doc__ or "")

    def of_attributes(self, kind: type) -> dict[str, str]:
        """Give what is said of the attributes of a class, or of the members of an enumeration."""
        module = kind.__module__
        if module not in self._modules:
            self._modules[module] = attribute_docs(_source(kind))
        return self._modules[module].get(kind.__qualname__, {})


def attribute_docs(source: str) -> Docs:
    """Find the strings below the attributes of the classes of a module."""
    return {
        node.name: {
            name: as_markdown(text)
            for before, after in zip(node.body, node.body[1:], strict=False)
            if (name := _assigned(before)) and (text := _string(after))
        }
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
    }


def as_markdown(text: str) -> str:
    """Turn a docstring into Markdown, a line for each paragraph; Python's names into JSON's."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    joined = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return _ROLE.sub(r"`\1`", joined).replace("``None``", "`null`").replace("``", "`")


def _assigned(statement: ast.stmt) -> str | None:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case _:
            return None


def _string(statement: ast.stmt) -> str | None:
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
        case _:
            return None


def _source(kind: type) -> str:
    module = inspect.getmodule(kind)
    try:
        return "" if module is None else inspect.getsource(module)
    except (OSError, TypeError):  # there is no file, or it is none of Python
        return ""

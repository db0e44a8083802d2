"""Values: what is never changed once it is made, by the word of the type checker."""

from typing import TYPE_CHECKING

import attrs

__all__ = ["value"]

if TYPE_CHECKING:
    from attrs import frozen as value
else:
    # A room makes ten of them for each vote. To guard each against being changed also at run
    # time makes each two and a half times as dear.
    def value(maybe_class=None, **options):
        """Make a class of values; options as for :func:`attrs.frozen`."""
        make = attrs.define(unsafe_hash=True, **options)
        return make if maybe_class is None else make(maybe_class)

"""Everything that is answered over plain HTTP."""

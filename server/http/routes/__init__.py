"""The handlers of plain HTTP, one module for each thing they are about."""

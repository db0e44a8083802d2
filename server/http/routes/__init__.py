"""The handlers of plain HTTP, in one module for each subject."""

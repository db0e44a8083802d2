"""Wire formats: one module per dialect."""

"""What every package may use: failures contained, logs, numbers, limits, threads."""

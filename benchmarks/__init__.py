"""What this tap costs beside four other ways to read the same pages: ``make bench``, or ``python -m benchmarks``."""

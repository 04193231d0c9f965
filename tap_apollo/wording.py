"""How numbers are said to users."""

from __future__ import annotations


def counted(number: int, unit: str, units: str | None = None) -> str:
    """Return a number with what it counts, and its plural if that is irregular: ``1 request``, ``2,000 people``."""
    return f"{number:,} {unit if number == 1 else units or f'{unit}s'}"

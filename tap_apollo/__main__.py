"""Run the tap with ``python -m tap_apollo``."""

from tap_apollo.tap import TapApollo

TapApollo.cli()

"""The ways in which a stream is read."""

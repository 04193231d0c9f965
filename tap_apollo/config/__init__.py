"""The settings, and what is said about bad ones before the first request."""

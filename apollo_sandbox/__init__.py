"""A local Apollo.io: the same API on loopback, with made-up people, credits, limits and faults.

from apollo_sandbox import Sandbox, Settings

with Sandbox(Settings(contacts=500)).serve() as sandbox:
    run_my_pipeline(url=sandbox.url, key=sandbox.settings.api_key)
    assert sandbox.ledger.credits_spent == 0
"""

from typing import TYPE_CHECKING

from apollo_sandbox.settings import Settings, SettingsError

if TYPE_CHECKING:
    from apollo_sandbox.sandbox import Sandbox
else:

    def __getattr__(name: str) -> object:
        """Import the server when it is asked for, so that the command can say what it lacks without the extra."""
        if name != "Sandbox":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from apollo_sandbox.sandbox import Sandbox  # noqa: PLC0415

        return Sandbox


__all__ = ["Sandbox", "Settings", "SettingsError"]

"""A local Apollo.io: the same API on loopback, with made-up people, credits, limits and faults.

from apollo_sandbox import Sandbox, Settings

with Sandbox(Settings(contacts=500)).serve() as sandbox:
    run_my_pipeline(url=sandbox.url, key=sandbox.settings.api_key)
    assert sandbox.ledger.credits_spent == 0
"""

from apollo_sandbox.sandbox import Sandbox
from apollo_sandbox.settings import Settings, SettingsError

__all__ = ["Sandbox", "Settings", "SettingsError"]

"""How messages reach the target: records in blocks, everything else at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import RecordMessage
from typing_extensions import override

if TYPE_CHECKING:
    from singer_sdk.singerlib import Message

#: Bytes of records to collect before they are written: as much as a pipe holds.
BLOCK = 65_536


class BlockWriter(MsgSpecWriter):
    """Writes records a block at a time, as a system call for each takes a tenth of a sync's CPU.

    A message of another type goes out at once, after the records before it: a STATE covers only what is out.
    """

    def __init__(self) -> None:
        """Begin with nothing to write."""
        self._block = bytearray()

    @override
    def write_message(self, message: Message) -> None:
        self._block += self.serialize_message(message)
        if len(self._block) >= BLOCK or not isinstance(message, RecordMessage):
            self.flush()

    def flush(self) -> None:
        """Write what has been collected; to be called after the last message."""
        block, self._block = self._block, bytearray()
        sys.stdout.buffer.write(block)
        sys.stdout.flush()

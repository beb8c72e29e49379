"""One JSON line for each request on standard output; lines of a tenth of a second share one write."""

import asyncio
from typing import BinaryIO

from modelcascade.api.documents import DecisionRecord

__all__ = ["DecisionLog"]

FLUSH_S = 0.1


class DecisionLog:
    """Where decision records go; without a sink they are dropped."""

    def __init__(self, sink: BinaryIO | None) -> None:
        self._sink = sink
        self._waiting: list[str] = []

    def add(self, record: DecisionRecord) -> None:
        """Keep one record; it is written within `FLUSH_S`."""
        if self._sink is None:
            return
        if not self._waiting:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        self._waiting.append(record.model_dump_json(by_alias=True, exclude_none=True))

    def flush(self) -> None:
        """Write what is kept."""
        if self._waiting and self._sink is not None:
            # {"decision": {...}} tells these lines from other lines of the same stream.
            text = "".join(f'{{"decision":{line}}}\n' for line in self._waiting)
            self._waiting.clear()
            self._sink.write(text.encode())
            self._sink.flush()

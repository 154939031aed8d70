"""Coverage-guided fuzzing of the ring's messages and of the memory that comes with them.

pip install atheris
python -m benchmarks.fuzz.ring -max_total_time=600
"""

from __future__ import annotations

import mmap
import sys

import atheris

with atheris.instrument_imports(include=["firmware_bridge", "edge_cns.frames"]):
    from edge_cns.errors import BadInputError
    from edge_cns.frames import Frame
    from edge_cns.runtime.sealed import sealed_memory
    from firmware_bridge.ring import wire
    from firmware_bridge.ring.memory import RingMemory

_KINDS = (wire.Hello, wire.Welcome, wire.Refused, wire.FrameMessage, wire.Event, wire.Release, wire.ResultMessage)
_SLOTS, _SLOT = 4, 16 * mmap.PAGESIZE


_MEMORY = RingMemory(
    sealed_memory("fuzz", _SLOTS * _SLOT), wire.Hello(0, _SLOTS * _SLOT, _SLOT, _SLOTS, 0, ""), lambda slot: None
)


def one(data: bytes) -> None:
    """Read a message as each kind; a frame must be one, inside its slot, or be refused."""
    for kind in _KINDS:
        try:
            message = kind.unpack(data)
        except BadInputError:
            continue
        if isinstance(message, wire.FrameMessage):
            try:
                pixels = _MEMORY.frame_pixels(message)
                assert int(pixels[-1].sum()) == 0, "behind the slot"
                Frame(pixels)
            except BadInputError:
                pass


def main() -> None:
    """Run libFuzzer's command line."""
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

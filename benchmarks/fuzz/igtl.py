"""Coverage-guided fuzzing of the OpenIGTLink parser with Atheris.

    pip install atheris
    python -m benchmarks.fuzz.igtl -max_total_time=600 -max_len=8192

The first byte of an input says how the rest is read. Nobody guesses a checksum of 64 bits, so most inputs are bodies
that get a header which fits; the others are a stream as they are. Whatever comes must be read, or refused by an error
that the parser promises.
"""

from __future__ import annotations

import struct
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["firmware_bridge", "edge_cns.strict_json"]):
    from edge_cns.errors import BadInputError, UnsupportedError
    from firmware_bridge.igtl.content import decode_array, decode_capability, decode_status, decode_string
    from firmware_bridge.igtl.events import parse_event
    from firmware_bridge.igtl.reading import Message, Reader
    from firmware_bridge.igtl.wire import encode

_TYPES = ("IMAGE", "STRING", "STATUS", "NDARRAY", "CAPABILITY", "GET_STATUS")
_DECODERS = {
    "STRING": decode_string,
    "STATUS": decode_status,
    "NDARRAY": decode_array,
    "CAPABILITY": decode_capability,
}


class _Memory:
    """Bytes as a stream."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def begin(self, view: memoryview) -> bool:
        if self._at == len(self._data):
            return False
        self.fill(view)
        return True

    def expect(self, size: int) -> None:
        pass

    def fill(self, view: memoryview) -> None:
        piece = self._data[self._at : self._at + len(view)]
        if len(piece) < len(view):
            raise ConnectionError("the end")
        view[:] = piece
        self._at += len(view)


def seeds() -> dict[str, bytes]:
    """Inputs to begin with: one of each kind."""
    sizes = (64, 64, 1)
    head = struct.pack(">HBBBB3H12f3H3H", 1, 1, 3, 2, 1, *sizes, *[0.5] * 12, 0, 0, 0, *sizes)
    half = struct.pack(">HBBBB3H12f3H3H", 1, 1, 3, 2, 1, *sizes, *[0.5] * 12, 0, 32, 0, 64, 32, 1)
    image = head + bytes(64 * 64)
    extended = struct.pack(">HHII", 12, 10, 7, 1) + image + struct.pack(">HHHI", 1, 3, 106, 4) + b"keytext"
    stream = encode("IMAGE", "a", image, version=2, metadata={"key": "text"}) + encode("STRING", "b", b"\0\3\0\1c")
    return {
        "image": b"\0" + image,
        "extended": b"\x80" + extended,
        "halves": b"\0" + half + bytes(32 * 64) + b"|CUT|" + half + bytes(32 * 64),
        "string": b"\1\0\3\0\5hello",
        "status": b"\2" + struct.pack(">Hq20s", 1, 0, b"name") + b"text\0",
        "array": b"\3" + bytes([10, 1, 0, 2]) + bytes(8),
        "stream": b"\6" + stream,
        "event": b'\7{"kind": "exam", "value": "7f"}',
    }


def one_input(data: bytes) -> None:
    """Read one input."""
    how, rest = data[:1], data[1:]
    if not how:
        return
    kind = how[0] % (len(_TYPES) + 2)
    if kind == len(_TYPES):
        _read(rest)
    elif kind > len(_TYPES):
        try:
            parse_event(rest.decode("utf-8", "surrogateescape"))
        except (BadInputError, UnsupportedError):
            return
    else:
        _bodies(_TYPES[kind], 1 + (how[0] >= 128), rest)


def _bodies(kind: str, version: int, rest: bytes) -> None:
    """Messages of one type, whose bodies are the rest, cut where it says so."""
    message = encode(kind, "fuzz", b"")
    parts = rest.split(b"|CUT|")
    if version == 1:
        messages = [encode(kind, "fuzz", part) for part in parts]
    else:  # the extended header and the metadata are the fuzzer's, too
        messages = [b"\0\x02" + encode(kind, "fuzz", part)[2:] for part in parts]
    for read in _read(b"".join(messages) + message):
        if not read.sound:
            raise AssertionError("a checksum that fits was found wrong")
        if kind in _DECODERS and version == 1:
            _decode(kind, rest)


def _decode(kind: str, content: bytes) -> None:
    try:
        _DECODERS[kind](content)
    except BadInputError:
        return


def _read(stream: bytes) -> list[Message]:
    reader, messages = Reader(_Memory(stream), lambda: True), []
    try:
        while (message := reader.read()) is not None:
            if message.picture is not None and (message.fault or message.picture.pixels.nbytes > len(stream) * 2):
                raise AssertionError("a picture of bytes that never came")
            messages.append(message)
    except (BadInputError, ConnectionError):
        pass
    return messages


def main() -> None:
    """Fuzz, from `seeds` and the corpora that are named."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in seeds().items():
            (Path(folder) / name).write_bytes(data)
        atheris.Setup([*sys.argv, folder], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

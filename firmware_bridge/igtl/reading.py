"""Messages out of a stream of bytes: what can be used is kept, all else is skipped, nothing is believed unchecked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from edge_cns.errors import BadInputError
from firmware_bridge.igtl.image import IMAGE_SIZE, Part, Picture, Sent, parse_image, picture
from firmware_bridge.igtl.parts import Parts
from firmware_bridge.igtl.wire import (
    EXTENDED_SIZE,
    HEADER_SIZE,
    Extended,
    Header,
    crc64,
    parse_extended,
    parse_header,
    parse_metadata,
)

__all__ = ["DAMAGED", "Message", "Reader", "Stream"]

DAMAGED = "damaged on the way: its checksum does not fit"

_PIECE = 256 * 1024  # bytes that are received, and added to the checksum while the processor still has them at hand
_SMALL = 128 * 1024  # bytes of text or metadata that are kept
_NOTHING = Extended(0, 0)


class Stream(Protocol):
    """Where bytes come from."""

    def begin(self, view: memoryview) -> bool:
        """Fill ``view`` with the beginning of the next message, however long that takes to come.

        Returns:
            Whether there is one; ``False`` at the end.
        """

    def expect(self, size: int) -> None:
        """``size`` bytes more belong to the message that has begun."""

    def fill(self, view: memoryview) -> None:
        """Fill ``view``.

        Raises:
            OSError: the stream ended, or the message takes too long.
        """


@dataclass(slots=True)
class Message:
    """A message that has come in whole.

    Attributes:
        header: its own.
        content: of a STRING; empty for other types.
        metadata: by key; only messages from header version 2 on have any.
        picture: of an IMAGE that is complete and wanted.
        sound: whether the checksum fits. If not, ``fault`` says so, and nothing of the message is kept.
        fault: why it cannot be used, one line; empty if it can.
        lost_metadata: whether there may have been metadata that could not be read.
    """

    header: Header
    content: bytes = b""
    metadata: dict[str, str] = field(default_factory=dict)
    picture: Picture | None = None
    sound: bool = True
    fault: str = ""
    lost_metadata: bool = False


class Reader:
    """Reads one peer's messages, one after the other.

    Args:
        stream: of the peer.
        wanted: whether images are; those that are not are skipped without taking memory.
    """

    def __init__(self, stream: Stream, wanted: Callable[[], bool]) -> None:
        self._stream, self._wanted = stream, wanted
        self._head = bytearray(HEADER_SIZE)
        self._parts = Parts()

    def read(self) -> Message | None:
        """Wait for the next message; ``None`` at the end.

        Raises:
            FramingError: what comes is no OpenIGTLink. There is no way to go on.
            OSError: the stream ended within a message, or the message takes too long.
        """
        if not self._stream.begin(memoryview(self._head)):
            return None
        message = Message(parse_header(self._head))
        self._stream.expect(message.header.body_size)
        body = _Body(self._stream, message.header.body_size)
        part = pixels = None
        try:
            extended = self._extended(message.header, body)
            part, pixels = self._content(message, extended, body)
            message.metadata = self._metadata(extended, body)
        except BadInputError as error:
            message.fault, message.lost_metadata = message.fault or str(error), True
        body.skip(body.left)
        if body.crc != message.header.crc:
            fault = f"{message.header.type} {DAMAGED}"
            return Message(message.header, sound=False, fault=fault, lost_metadata=message.header.version > 1)
        if part is not None and pixels is not None and not message.fault:
            self._complete(message, part, pixels)
        return message

    def _extended(self, header: Header, body: _Body) -> Extended:
        if header.version == 1:
            return Extended(0, header.body_size)
        if header.body_size == 0:
            return _NOTHING
        if header.body_size < EXTENDED_SIZE:
            raise BadInputError(f"a body of {header.body_size} bytes has no extended header; mend the sender")
        extended = parse_extended(body.take(EXTENDED_SIZE), header.body_size)
        body.skip(extended.before - EXTENDED_SIZE)
        return extended

    def _content(self, message: Message, extended: Extended, body: _Body) -> tuple[Part | None, Sent | None]:
        """Read the content and keep what can be used; of an image, its pixels as they are sent."""
        part = pixels = None
        behind = body.left - extended.content
        try:
            if message.header.type == "IMAGE" and extended.content and self._wanted():
                if extended.content < IMAGE_SIZE:
                    raise BadInputError(f"an IMAGE of {extended.content} bytes; it has {IMAGE_SIZE} and its pixels")
                part = parse_image(body.take(IMAGE_SIZE), extended.content - IMAGE_SIZE)
                pixels = part.empty()
                body.fill(pixels.view(np.uint8).reshape(-1).data)
            elif message.header.type == "STRING" and extended.content <= _SMALL:
                message.content = bytes(body.take(extended.content))
        except BadInputError as error:
            message.fault = str(error)
        body.skip(body.left - behind)
        return part, pixels

    def _metadata(self, extended: Extended, body: _Body) -> dict[str, str]:
        size = extended.index + extended.values
        if size > _SMALL:
            raise BadInputError(f"{size} bytes of metadata; up to {_SMALL} are read")
        return parse_metadata(body.take(extended.index), body.take(extended.values))

    def _complete(self, message: Message, part: Part, pixels: Sent) -> None:
        try:
            whole = self._parts.add(pixels, part)
            message.picture = None if whole is None else picture(whole, part)
        except BadInputError as error:
            message.fault = str(error)


class _Body:
    """What follows a header.

    Attributes:
        left: bytes that have not been read.
        crc: of those that have.
    """

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream = stream
        self.left, self.crc = size, 0

    def take(self, size: int) -> bytearray:
        """The next bytes."""
        data = bytearray(size)
        self.fill(memoryview(data))
        return data

    def fill(self, view: memoryview) -> None:
        """The next bytes, into ``view``."""
        assert len(view) <= self.left
        for at in range(0, len(view), _PIECE):
            piece = view[at : at + _PIECE]
            self._stream.fill(piece)
            self.crc = crc64(piece, self.crc)
        self.left -= len(view)

    def skip(self, size: int) -> None:
        """Read the next bytes and forget them."""
        scratch = memoryview(bytearray(min(size, _PIECE)))
        while size:
            piece = scratch[:size]
            self.fill(piece)
            size -= len(piece)

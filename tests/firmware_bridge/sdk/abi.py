"""``edge_cns.h`` as ctypes: tests drive the C library itself."""

from __future__ import annotations

import ctypes as c
from pathlib import Path
from typing import ClassVar

OK, WOULD_BLOCK, TIMEOUT = 0, 1, 2
BAD_ARGUMENT, UNAVAILABLE, REFUSED, DISCONNECTED, PROTOCOL = -1, -2, -3, -4, -5
GREY8, GREY16, BGR8 = 1, 2, 3


class Caps(c.Structure):
    _fields_: ClassVar = [
        ("size", c.c_size_t),
        ("max_width", c.c_uint32),
        ("max_height", c.c_uint32),
        ("max_bytes_per_pixel", c.c_uint32),
        ("max_stride", c.c_uint32),
        ("slots", c.c_uint32),
        ("heat_map", c.c_uint32),
        ("peer_uid", c.c_uint32),
        ("name", c.c_char * 64),
    ]


class Slot(c.Structure):
    _fields_: ClassVar = [
        ("pixels", c.c_void_p),
        ("capacity", c.c_size_t),
        ("sequence", c.c_uint64),
        ("index", c.c_uint32),
    ]


class Frame(c.Structure):
    _fields_: ClassVar = [
        ("format", c.c_int),
        ("width", c.c_uint32),
        ("height", c.c_uint32),
        ("stride", c.c_uint32),
        ("bits_stored", c.c_uint32),
        ("region", c.c_int32 * 4),
        ("mm_per_pixel", c.c_double * 2),
        ("captured_ns", c.c_int64),
    ]


class Result(c.Structure):
    _fields_: ClassVar = [
        ("sequence", c.c_uint64),
        ("captured_ns", c.c_int64),
        ("emitted_ns", c.c_int64),
        ("expires_ns", c.c_int64),
        ("age_ms", c.c_double),
        ("latency_ms", c.c_double),
        ("state", c.c_int),
        ("label", c.c_int32),
        ("probability", c.c_float),
        ("novelty", c.c_float),
        ("steady_state", c.c_int),
        ("steady_label", c.c_int32),
        ("steady_probability", c.c_float),
        ("frames_behind", c.c_uint32),
        ("flags", c.c_uint32),
        ("frames_seen", c.c_uint64),
        ("frames_classified", c.c_uint64),
        ("frames_dropped", c.c_uint64),
        ("frames_missed", c.c_uint64),
        ("outcome", c.c_int),
        ("finding", c.c_int32),
        ("exam", c.c_char * 128),
        ("fetus", c.c_char * 64),
        ("view", c.c_char * 64),
        ("reason", c.c_char * 256),
        ("statement", c.c_char * 256),
        ("classes", c.c_uint32),
        ("probabilities", c.c_float * 256),
        ("heat_rows", c.c_uint32),
        ("heat_columns", c.c_uint32),
        ("heat", c.c_float * 4096),
    ]


class Counts(c.Structure):
    _fields_: ClassVar = [
        (name, c.c_uint64)
        for name in ("acquired", "submitted", "would_block", "released", "results", "results_lost", "lost_connections")
    ]


def load(library: Path) -> c.CDLL:
    """The shared library, with the types of its functions."""
    sdk = c.CDLL(str(library))
    door, slot, frame, result = c.c_void_p, c.POINTER(Slot), c.POINTER(Frame), c.POINTER(Result)
    for name, returns, takes in (
        ("open", c.c_int, [c.c_char_p, c.POINTER(Caps), c.POINTER(c.c_void_p)]),
        ("reconnect", c.c_int, [door]),
        ("close", None, [door]),
        ("acquire_slot", c.c_int, [door, slot]),
        ("submit", c.c_int, [door, slot, frame]),
        ("give_back", None, [door, slot]),
        ("event", c.c_int, [door, c.c_int, c.c_char_p]),
        ("poll_result", c.c_int, [door, result, c.c_int]),
        ("state_at", c.c_int, [result, c.c_int64]),
        ("class_count", c.c_uint32, [door]),
        ("class_name", c.c_char_p, [door, c.c_int32]),
        ("get_counts", None, [door, c.POINTER(Counts)]),
        ("now", c.c_int64, []),
        ("version", c.c_char_p, []),
        ("error", c.c_char_p, []),
    ):
        function = getattr(sdk, f"edge_cns_{name}")
        function.restype, function.argtypes = returns, takes
    return sdk


class Machine:
    """A door, as a C program would hold it."""

    def __init__(self, sdk: c.CDLL, uri: str, **changes) -> None:
        self.sdk = sdk
        self.caps = Caps(c.sizeof(Caps), 640, 480, 3, 0, 4, 0, 2**32 - 1, b"")
        for name, value in changes.items():
            setattr(self.caps, name, value)
        self.door = c.c_void_p()
        self.status = sdk.edge_cns_open(uri.encode(), c.byref(self.caps), c.byref(self.door))

    @property
    def error(self) -> str:
        return self.sdk.edge_cns_error().decode()

    def send(self, pixels, **fields) -> int:
        slot = Slot()
        status = self.sdk.edge_cns_acquire_slot(self.door, c.byref(slot))
        if status != OK:
            return status
        height, width = pixels.shape[:2]
        content = pixels.tobytes()
        c.memmove(slot.pixels, content, min(len(content), slot.capacity))
        frame = Frame(len(content) // (height * width), width, height)
        for name, value in fields.items():
            setattr(frame, name, value)
        return self.sdk.edge_cns_submit(self.door, c.byref(slot), c.byref(frame))

    def say(self, kind: int, value: str | None = None) -> int:
        return self.sdk.edge_cns_event(self.door, kind, None if value is None else value.encode())

    def result(self, timeout_ms: int = 5000) -> Result:
        result = Result()
        self.status = self.sdk.edge_cns_poll_result(self.door, c.byref(result), timeout_ms)
        return result

    @property
    def counts(self) -> Counts:
        counts = Counts()
        self.sdk.edge_cns_get_counts(self.door, c.byref(counts))
        return counts

    def close(self) -> None:
        self.sdk.edge_cns_close(self.door)
        self.door = c.c_void_p()

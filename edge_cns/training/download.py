"""Fetch a file over HTTPS within a fixed time, name look-up included."""

from __future__ import annotations

import http.client
import queue
import threading
import time
import urllib.error
import urllib.request

__all__ = ["download"]

_CHUNK = 1 << 16


def download(url: str, *, seconds: float, max_bytes: int) -> bytes:
    """Fetch ``url``.

    The work is done in a thread that is left behind at the deadline, because a name look-up cannot be interrupted.

    Args:
        url: what to fetch.
        seconds: time for everything together.
        max_bytes: largest answer that is taken.

    Raises:
        OSError: not reached, refused, cut short, too large, or (`TimeoutError`) not complete in time.
    """
    outcome: queue.SimpleQueue[bytes | OSError] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcome.put(_fetch(url, time.monotonic() + seconds, seconds, max_bytes))
        except urllib.error.HTTPError as error:
            error.close()
            outcome.put(OSError(f"the server answered {error.code} {error.reason}"))
        except (OSError, http.client.HTTPException, ValueError) as error:
            outcome.put(error if isinstance(error, OSError) else OSError(f"{type(error).__name__}: {error}"))

    threading.Thread(target=work, name="download", daemon=True).start()
    try:
        result = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"not complete within {seconds:g} s") from None
    if isinstance(result, OSError):
        raise result
    return result


def _fetch(url: str, deadline: float, seconds: float, max_bytes: int) -> bytes:
    content = bytearray()
    with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310 -- a URL of this project's table
        expected = answer.headers.get("Content-Length")
        while chunk := answer.read(_CHUNK):
            content += chunk
            if time.monotonic() > deadline:
                raise TimeoutError(f"not complete within {seconds:g} s")
            if len(content) > max_bytes:
                raise OSError(f"larger than {max_bytes} bytes")
    if expected is not None and len(content) != int(expected):
        raise OSError(f"cut short: {len(content)} of {expected} bytes")
    return bytes(content)

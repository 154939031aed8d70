"""``dicom-scp://`` and ``dicom-scu://`` taken apart."""

from __future__ import annotations

import ipaddress
import re
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.runtime.uri import Options, one_line, split_uri

__all__ = ["ScpSettings", "ScuSettings", "refuse_other_systems"]

_LOOPBACK = "127.0.0.1"
_TITLE = re.compile(r"[ -\[\]-~]{1,16}")  # PS3.5, AE: the default repertoire without backslash and control characters
_TLS = {"tls_cert": "", "tls_key": "", "tls_ca": ""}
_SCP = {
    "ae": "EDGECNS",
    "allow": "",
    "associations": "4",
    "max_mb": "512",
    "queue_mb": "1024",
    "idle": "30",
    "total": "3600",
    "overlap": "3",
    "quiet": "120",
    "review": "300",
    "rate": "native",
    **_TLS,
}
_SCU = {"ae": "EDGECNS", "queue": "", "reviewed": "1", "overlay": "0", **_TLS}
_LONGEST_HOLD = 600  # s: the runtime forgets an exam whose image has not moved for a quarter of an hour


@dataclass(frozen=True, slots=True)
class ScpSettings:
    """What ``dicom-scp://HOST:PORT?...`` says.

    Attributes:
        host, port: where it listens; port 0 asks for any free one.
        ae: our title; a caller must name it.
        allow: titles that may call; empty admits all.
        associations: at once.
        max_bytes: of one object.
        queue_bytes: of all objects that wait.
        idle, total: seconds an association may be silent, and may last.
        overlap: seconds without an object of its own after which an exam ends if another study waits.
        quiet: the same if none does.
        review: seconds that an exam with a finding is kept for a person to judge, where results wait for that.
        seconds: a frame; ``None`` as the object says.
        tls: context of the server, or ``None``.
    """

    host: str
    port: int
    ae: str
    allow: tuple[str, ...]
    associations: int
    max_bytes: int
    queue_bytes: int
    idle: int
    total: int
    overlap: int
    quiet: int
    review: int
    seconds: float | None
    tls: ssl.SSLContext | None

    @classmethod
    def parse(cls, uri: str) -> ScpSettings:
        """Read the URI.

        Raises:
            BadInputError: an option that is unknown or out of range, or an address beyond this computer without either
                a list of callers or TLS.
        """
        rest, options = split_uri(uri, _SCP)
        host, port = _address(rest, options, "dicom-scp://127.0.0.1:11112", lowest=0)
        allow = tuple(_title(options, "allow", one) for one in options.values["allow"].split(",") if one)
        tls = _server_tls(options)
        if not _loopback(host) and not allow and tls is None:
            raise BadInputError(
                f"{options.source} can be reached from other machines; name who may call with allow=AE1,AE2, or use "
                "TLS with tls_cert=FILE and tls_key=FILE"
            )
        return cls(
            host=host,
            port=port,
            ae=_title(options, "ae", options.values["ae"]),
            allow=allow,
            associations=options.whole("associations", 1, 64),
            max_bytes=options.whole("max_mb", 1, 4000) * 10**6,
            queue_bytes=options.whole("queue_mb", 1, 64_000) * 10**6,
            idle=options.whole("idle", 1, 3600, " s"),
            total=options.whole("total", 1, 86_400, " s"),
            overlap=options.whole("overlap", 2, _LONGEST_HOLD, " s"),
            quiet=options.whole("quiet", 2, _LONGEST_HOLD, " s"),
            review=options.whole("review", 0, _LONGEST_HOLD, " s"),
            seconds=_seconds(options),
            tls=tls,
        )


@dataclass(frozen=True, slots=True)
class ScuSettings:
    """What ``dicom-scu://AE@HOST:PORT?queue=DIR&...`` says.

    Attributes:
        host, port, called: the receiver and its title.
        ae: our title.
        queue: folder of what is to be sent.
        reviewed: whether a person must have accepted the finding.
        overlay: whether a picture goes with the report.
        tls: context of the client, or ``None``.
    """

    host: str
    port: int
    called: str
    ae: str
    queue: Path
    reviewed: bool
    overlay: bool
    tls: ssl.SSLContext | None

    @property
    def shown(self) -> str:
        """The receiver, for the log."""
        return f"dicom-scu://{self.host}:{self.port}"

    @classmethod
    def parse(cls, uri: str) -> ScuSettings:
        """Read the URI.

        Raises:
            BadInputError: no title, host, port or queue, or an option that is unknown or cannot be used.
        """
        rest, options = split_uri(uri, _SCU)
        called, at, where = rest.rpartition("@")
        example = "dicom-scu://ARCHIVE@127.0.0.1:104?queue=DIR"
        if not at or not _TITLE.fullmatch(called.strip()):
            raise BadInputError(f"{options.source} names no AE title of the receiver; give {example}")
        host, port = _address(where, options, example, lowest=1)
        if not options.values["queue"]:
            raise BadInputError(f"{options.source} has no queue; give {example}, a folder that outlives this program")
        return cls(
            host=host,
            port=port,
            called=called.strip(),
            ae=_title(options, "ae", options.values["ae"]),
            queue=Path(options.values["queue"]),
            reviewed=options.flag("reviewed"),
            overlay=options.flag("overlay"),
            tls=_client_tls(options),
        )


def refuse_other_systems() -> None:
    """Say that this is for Linux.

    Raises:
        UnsupportedError: it is another system.
    """
    if sys.platform != "linux":
        raise UnsupportedError(f"the DICOM bridge runs on Linux, this is {sys.platform}; use a Linux computer")


def _address(rest: str, options: Options, example: str, *, lowest: int) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:]+)\]|([A-Za-z0-9.-]*)):([0-9]{1,5})/?", rest)
    if found is None or not lowest <= int(found[3]) <= 65535:
        raise BadInputError(f"{options.source} has no host and port that can be read; give {example}")
    host = found[1] or found[2] or _LOOPBACK
    return _LOOPBACK if host == "localhost" else host, int(found[3])


def _loopback(host: str) -> bool:
    """Whether only this computer can reach it; a name never counts, for who knows what it means here."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _title(options: Options, name: str, text: str) -> str:
    if not _TITLE.fullmatch(text) or not text.strip():
        raise BadInputError(
            f"{options.source}: {name} {one_line(text)!r} is no AE title; give 1 to 16 plain characters"
        )
    return text.strip()


def _seconds(options: Options) -> float | None:
    rate = options.values["rate"]
    if rate in ("native", "max"):
        return None if rate == "native" else 0.0
    return 1.0 / options.number("rate", 0.0, 1000.0)


def _server_tls(options: Options) -> ssl.SSLContext | None:
    """TLS with our certificate; with ``tls_ca`` callers must show one that it signed."""
    if not any(options.values[name] for name in _TLS):
        return None
    if not options.values["tls_cert"] or not options.values["tls_key"]:
        raise BadInputError(f"{options.source}: TLS needs both tls_cert and tls_key; give both, or none of the three")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, options)
    if options.values["tls_ca"]:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _client_tls(options: Options) -> ssl.SSLContext | None:
    """TLS that checks the receiver's certificate and its host name against ``tls_ca``; ours is shown where given."""
    if not any(options.values[name] for name in _TLS):
        return None
    if not options.values["tls_ca"]:
        raise BadInputError(f"{options.source}: TLS needs tls_ca, which vouches for the receiver; give its file")
    if bool(options.values["tls_cert"]) != bool(options.values["tls_key"]):
        raise BadInputError(f"{options.source}: tls_cert and tls_key go together; give both or neither")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, options)
    return context


def _load(context: ssl.SSLContext, options: Options) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if options.values["tls_cert"]:
            context.load_cert_chain(options.values["tls_cert"], options.values["tls_key"])
        if options.values["tls_ca"]:
            context.load_verify_locations(options.values["tls_ca"])
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = (getattr(error, "reason", None) or getattr(error, "strerror", None) or "unreadable").lower()
        raise BadInputError(
            f"{options.source}: the TLS files cannot be used ({why}); give PEM files, the key without a password"
        ) from None

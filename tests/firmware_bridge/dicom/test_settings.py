"""The two URIs: what they may say, and one line for what they may not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edge_cns.errors import BadInputError, UnsupportedError
from firmware_bridge.dicom.settings import ScpSettings, ScuSettings, refuse_other_systems


def test_defaults_of_the_scp():
    asked = ScpSettings.parse("dicom-scp://:11112")
    assert (asked.host, asked.port, asked.ae, asked.allow) == ("127.0.0.1", 11112, "EDGECNS", ())
    assert (asked.associations, asked.max_bytes, asked.queue_bytes) == (4, 512 * 10**6, 1024 * 10**6)
    assert (asked.idle, asked.total, asked.overlap, asked.quiet, asked.review) == (30, 3600, 3, 120, 300)
    assert asked.seconds is None
    assert asked.tls is None


def test_values_of_the_scp():
    asked = ScpSettings.parse("dicom-scp://0.0.0.0:104?ae=MY%20AE&allow=US1,US2&rate=25&quiet=9")
    assert (asked.ae, asked.allow, asked.seconds, asked.quiet) == ("MY AE", ("US1", "US2"), 0.04, 9)
    assert ScpSettings.parse("dicom-scp://[::1]:104").host == "::1"
    assert ScpSettings.parse("dicom-scp://localhost:104?rate=max").seconds == 0.0


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        ("dicom-scp://0.0.0.0:104", "can be reached from other machines; name who may call with allow=AE1,AE2"),
        ("dicom-scp://myhost:104", "can be reached from other machines"),
        ("dicom-scp://127.0.0.1", "has no host and port"),
        ("dicom-scp://127.0.0.1:70000", "has no host and port"),
        ("dicom-scp://127.0.0.1:104?ae=", "is no AE title"),
        ("dicom-scp://127.0.0.1:104?ae=0123456789ABCDEFG", "is no AE title"),
        ("dicom-scp://127.0.0.1:104?allow=A%5CB", "is no AE title"),
        ("dicom-scp://127.0.0.1:104?quiet=1", "quiet is 1 s; give 2 to 600"),
        ("dicom-scp://127.0.0.1:104?max_mb=0", "max_mb is 0; give 1 to 4000"),
        ("dicom-scp://127.0.0.1:104?rate=fast", "rate 'fast' is no number"),
        ("dicom-scp://127.0.0.1:104?tls_cert=a.pem", "TLS needs both tls_cert and tls_key"),
        ("dicom-scp://127.0.0.1:104?tls_cert=a.pem&tls_key=b.pem", "the TLS files cannot be used"),
        ("dicom-scp://127.0.0.1:104?colour=1", "there is no option 'colour'"),
    ],
)
def test_what_the_scp_refuses(uri, what):
    with pytest.raises(BadInputError) as raised:
        ScpSettings.parse(uri)
    assert what in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_scu():
    asked = ScuSettings.parse("dicom-scu://MY PACS@10.1.2.3:104?queue=/var/q%201&reviewed=0")
    assert (asked.called, asked.host, asked.port) == ("MY PACS", "10.1.2.3", 104)
    assert (asked.queue, asked.reviewed, asked.overlay) == (Path("/var/q 1"), False, False)
    assert "PACS" not in asked.shown


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        ("dicom-scu://10.1.2.3:104?queue=/q", "names no AE title"),
        ("dicom-scu://PACS@10.1.2.3?queue=/q", "has no host and port"),
        ("dicom-scu://PACS@10.1.2.3:0?queue=/q", "has no host and port"),
        ("dicom-scu://PACS@10.1.2.3:104", "has no queue"),
        ("dicom-scu://PACS@10.1.2.3:104?queue=/q&reviewed=maybe", "reviewed 'maybe' is neither yes nor no"),
        ("dicom-scu://PACS@10.1.2.3:104?queue=/q&tls_cert=a&tls_key=b", "TLS needs tls_ca"),
        ("dicom-scu://PACS@10.1.2.3:104?queue=/q&tls_ca=a&tls_key=b", "go together"),
    ],
)
def test_what_the_scu_refuses(uri, what):
    with pytest.raises(BadInputError, match=what):
        ScuSettings.parse(uri)


def test_tls_is_enough_for_other_machines(tmp_path):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    uri = f"dicom-scp://0.0.0.0:104?tls_cert={certificate}&tls_key={key}"
    assert ScpSettings.parse(uri).tls is not None


def test_other_systems(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(UnsupportedError, match="runs on Linux"):
        refuse_other_systems()

"""The storage SCP against dcmtk: what is taken, what is refused, and what nobody may do to it."""

from __future__ import annotations

import gc
import io
import logging
import random
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="needs the bridge extra")
import pydicom
from pynetdicom import AE, build_context
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

from edge_cns.errors import BadInputError
from firmware_bridge.dicom.decoder import Decoder
from firmware_bridge.dicom.inbox import Inbox
from firmware_bridge.dicom.scp import StorageScp
from firmware_bridge.dicom.settings import ScpSettings
from firmware_bridge.dicom.studies import Names
from tests.dicoms import packaged
from tests.firmware_bridge.dicom.material import BIRTH, NAME, NUMBER, US, US_CLIP, object_bytes, picture
from tests.peers.dicom import dcmtk, need_dcmtk, storescu

EXPLICIT = "1.2.840.10008.1.2.1"

# pynetdicom's client leaves a socket that the other side has closed to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def checker():
    made = Decoder()
    yield made
    made.close()


@pytest.fixture
def listen(checker):
    opened = []

    def call(options: str = "", inbox: Inbox | None = None):
        settings = ScpSettings.parse(f"dicom-scp://127.0.0.1:0?{options}")
        inbox = inbox or Inbox(settings.queue_bytes)
        scp = StorageScp(settings, inbox, checker, Names())
        opened.append(scp)
        return int(scp.address.rpartition(":")[2]), inbox

    yield call
    for scp in opened:
        scp.close()
        scp.close()
    gc.collect()


@pytest.fixture
def write(tmp_path):
    def call(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return call


def send(port: int, content: bytes, **names) -> int:
    """Status of the answer to one object, by another implementation's client; -1 for none."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    entity = AE(ae_title=names.get("calling", "US1"))
    association = entity.associate(
        "127.0.0.1",
        port,
        [build_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)],
        ae_title=names.get("called", "EDGECNS"),
    )
    if not association.is_established:
        return -1
    answer = association.send_c_store(dataset)
    association.release()
    return answer.Status if "Status" in answer else -1


def greeting_of_a_client() -> bytes:
    """An association request, as it goes over the wire."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        entity = AE(ae_title="US1")
        entity.acse_timeout = 1
        asked = ("127.0.0.1", server.getsockname()[1], [build_context(US, EXPLICIT)], "EDGECNS")
        thread = threading.Thread(target=entity.associate, args=asked)
        thread.start()
        connection, _ = server.accept()
        with connection:
            data = connection.recv(4096)
        thread.join()
    return data


def test_echo(listen):
    need_dcmtk()
    port, _ = listen()
    command = [dcmtk("echoscu"), "-aec", "EDGECNS", "127.0.0.1", str(port)]
    assert subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0
    command[2] = "OTHER"
    assert subprocess.run(command, check=False, capture_output=True, timeout=30).returncode != 0


SYNTAXES = {
    "implicit": (None, "-xi"),
    "explicit": (None, "-xe"),
    "big endian": (None, "-xb"),
    "deflated": (["dcmconv", "+td"], "-xd"),
    "RLE": (["dcmcrle"], "-xr"),
    "JPEG baseline": (["dcmcjpeg", "+eb"], "-xy"),
    "JPEG extended": (["dcmcjpeg", "+ee"], "-xx"),
    "JPEG lossless": (["dcmcjpeg", "+el"], ""),
    "JPEG lossless SV1": (["dcmcjpeg", "+e1"], "-xs"),
    "JPEG-LS lossless": (["dcmcjpls", "+el"], "-xt"),
    "JPEG-LS near": (["dcmcjpls", "+en"], "-xu"),
}


@pytest.mark.parametrize("name", SYNTAXES)
def test_each_syntax(listen, write, name):
    need_dcmtk()
    smooth = np.clip(np.add.outer(np.arange(96), np.arange(96)) + np.arange(3)[:, None, None] * 9, 0, 255)
    path = write("clip.dcm", object_bytes(smooth.astype(np.uint8)))
    encode, option = SYNTAXES[name]
    if encode is not None:
        made = path.with_name("encoded.dcm")
        subprocess.run([dcmtk(encode[0]), *encode[1:], str(path), str(made)], check=True, capture_output=True)
        path = made
    port, inbox = listen()
    if option:
        done = storescu(port, option, path)
        assert done.returncode == 0, done.stdout + done.stderr
    else:  # storescu has no option for it
        assert send(port, path.read_bytes()) == 0
    received = inbox.take(None, 5)
    assert received.described.frames == 3
    player = Decoder()
    try:
        player.open(received.content)
        lossy = name in ("JPEG baseline", "JPEG extended", "JPEG-LS near")
        for (frame, _), expected in zip(player.play(), smooth, strict=True):
            assert np.abs(frame.pixels.astype(int) - expected).max() <= (8 if lossy else 0)
    finally:
        player.close()


@pytest.mark.parametrize("name", ["examples_jpeg2k.dcm", "examples_ybr_color.dcm", "examples_palette.dcm"])
def test_real_ultrasound(listen, name):
    port, inbox = listen()
    assert send(port, packaged(name).read_bytes()) == 0
    assert inbox.take(None, 5).described.identity.modality == "US"


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3", US, US_CLIP])
def test_classes_of_ultrasound(listen, sop_class):
    port, inbox = listen()
    assert send(port, object_bytes(picture(1, 2), SOPClassUID=sop_class)) == 0
    assert inbox.waiting == 1


def test_other_modalities(listen):
    port, inbox = listen()
    for name in ("CT_small.dcm", "MR_small.dcm"):
        assert send(port, packaged(name).read_bytes()) == 0
    assert inbox.waiting == 2


def test_studies_are_kept_apart_by_opaque_keys(listen):
    port, inbox = listen()
    for study in ("1.2.3.1", "1.2.3.2", "1.2.3.1"):
        assert send(port, object_bytes(picture(1), study=study)) == 0
    keys = [inbox.take(None, 0).study for _ in range(3)]
    assert keys[0] == keys[2] != keys[1]
    assert all(len(key) == 16 and "1.2.3" not in key for key in keys)


def test_an_object_that_comes_again_is_success_and_waits_once(listen):
    port, inbox = listen()
    content = object_bytes(picture(1))
    assert (send(port, content), send(port, content)) == (0, 0)
    assert inbox.waiting == 1


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "status"),
        [
            (lambda: object_bytes(picture(1))[:-4000], 0xC000),
            (lambda: object_bytes(picture(1, size=32)), 0xC000),
            (lambda: object_bytes(picture(1), StudyInstanceUID=""), 0xC000),
            (lambda: object_bytes(picture(1), BitsAllocated=32), 0xC000),
            (lambda: object_bytes(picture(1), NumberOfFrames=-5), 0xC000),
        ],
    )
    def test_damage(self, listen, content, status, caplog):
        port, inbox = listen()
        with caplog.at_level(logging.INFO, "edge_cns"):
            assert send(port, content()) == status
        assert inbox.waiting == 0
        (line,) = [record for record in caplog.records if record.name == "edge_cns"]
        assert NAME not in line.getMessage()
        assert send(port, object_bytes(picture(1))) == 0

    def test_full(self, listen):
        content = object_bytes(picture(1))
        port, inbox = listen(inbox=Inbox(len(content) + 100))
        assert send(port, content) == 0
        assert send(port, object_bytes(picture(2))) == 0xA700
        inbox.take(None, 0)
        assert send(port, object_bytes(picture(2))) == 0

    def test_an_object_that_is_not_the_one_announced(self, listen, caplog):
        port, inbox = listen()
        dataset = pydicom.dcmread(io.BytesIO(object_bytes(picture(1))))
        association = AE(ae_title="US1").associate("127.0.0.1", port, [build_context(US, EXPLICIT)], ae_title="EDGECNS")
        request = C_STORE()
        request.MessageID, request.AffectedSOPClassUID, request.Priority = 1, US, 2
        request.AffectedSOPInstanceUID = "1.2.3.4.6"
        request.DataSet = io.BytesIO(encode(dataset, False, True))
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
        until = time.monotonic() + 10
        while "not the one that its request names" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.02)
        association.release()
        assert inbox.waiting == 0

    def test_a_deflated_bomb(self, listen, write, caplog):
        need_dcmtk()
        path = write("bomb.dcm", object_bytes(np.zeros((200, 256, 256), np.uint8)))  # 13 MB, deflated to 13 kB
        made = path.with_name("deflated.dcm")
        subprocess.run([dcmtk("dcmconv"), "+td", str(path), str(made)], check=True)
        port, inbox = listen("max_mb=5")
        storescu(port, "-xd", made)
        assert inbox.waiting == 0
        assert "larger than max_mb when inflated" in caplog.text

    def test_larger_than_max_mb(self, listen, caplog):
        port, inbox = listen("max_mb=1")
        with caplog.at_level(logging.INFO, "edge_cns"):
            assert send(port, object_bytes(picture(1, 300))) == -1
        assert inbox.waiting == 0
        assert "larger than max_mb" in caplog.text
        assert send(port, object_bytes(picture(1))) == 0


class TestAssociations:
    def test_who_may_call(self, listen):
        port, inbox = listen("allow=US1,US2")
        assert send(port, object_bytes(picture(1)), calling="US3") == -1
        assert send(port, object_bytes(picture(1)), calling="US2") == 0
        assert send(port, object_bytes(picture(1)), called="WRONG") == -1
        assert inbox.waiting == 1

    def test_how_many(self, listen):
        port, _ = listen("associations=2")
        entity = AE(ae_title="US1")
        held = [
            entity.associate("127.0.0.1", port, [build_context(US, EXPLICIT)], ae_title="EDGECNS") for _ in range(3)
        ]
        assert [one.is_established for one in held] == [True, True, False]
        for one in held[:2]:
            one.release()
        until = time.monotonic() + 10
        while send(port, object_bytes(picture(1))) != 0:
            assert time.monotonic() < until

    def test_connections_that_say_nothing(self, listen):
        port, _ = listen("associations=2&idle=1")
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
        time.sleep(0.3)
        assert sum("Acceptor" in thread.name for thread in threading.enumerate()) <= 14
        for one in silent:
            one.close()
        until = time.monotonic() + 20
        while send(port, object_bytes(picture(1))) != 0:
            assert time.monotonic() < until
            time.sleep(0.1)

    def test_a_length_of_four_gigabytes(self, listen):
        port, _ = listen()
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.settimeout(10)
            peer.sendall(bytes((1, 0, 255, 255, 255, 255)) + b"x" * 100)
            assert peer.recv(100)[:1] in (b"\7", b"")
        assert send(port, object_bytes(picture(1))) == 0

    def test_whatever_is_sent(self, listen):
        """Damaged greetings, cut short or with more in them: no thread dies of them, and the next caller is served."""
        port, _ = listen("idle=1")
        greeting, dice = greeting_of_a_client(), random.Random(3)
        for _ in range(150):
            data = bytearray(greeting)
            for _ in range(dice.randint(0, 4)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            at = dice.randrange(len(data))
            data[at:at] = bytes((dice.randint(0, 8), 0, 0, 0, 0, dice.randint(0, 9))) * dice.randint(0, 1)
            with socket.create_connection(("127.0.0.1", port)) as peer, suppress(OSError):
                peer.settimeout(0.02)
                peer.sendall(data[: dice.randint(1, 2 * len(data))])
                peer.recv(1000)
        until = time.monotonic() + 30
        while send(port, object_bytes(picture(1))) != 0:
            assert time.monotonic() < until
            time.sleep(0.1)

    def test_idle(self, listen):
        port, _ = listen("idle=1")
        held = AE(ae_title="US1").associate("127.0.0.1", port, [build_context(US, EXPLICIT)], ae_title="EDGECNS")
        until = time.monotonic() + 15
        while held.is_established:
            assert time.monotonic() < until
            time.sleep(0.1)

    def test_a_port_in_use(self, listen, checker):
        port, _ = listen()
        settings = ScpSettings.parse(f"dicom-scp://127.0.0.1:{port}")
        with pytest.raises(BadInputError, match="cannot be listened on"):
            StorageScp(settings, Inbox(1000), checker, Names())


def test_tls(listen, write, tmp_path):
    need_dcmtk()
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    port, inbox = listen(f"tls_cert={certificate}&tls_key={key}&tls_ca={certificate}")
    path = write("a.dcm", object_bytes(picture(1, 20, size=256)))  # more than one record of TLS
    assert storescu(port, path).returncode != 0
    command = [dcmtk("storescu"), "+tls", str(key), str(certificate), "+cf", str(certificate), "-aec", "EDGECNS"]
    done = subprocess.run([*command, "127.0.0.1", str(port), str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert inbox.take(None, 5).described.frames == 20
    anonymous = [
        dcmtk("storescu"),
        "+tla",
        "+cf",
        str(certificate),
        "-aec",
        "EDGECNS",
        "127.0.0.1",
        str(port),
        str(path),
    ]
    assert subprocess.run(anonymous, capture_output=True, check=False).returncode != 0


def test_nothing_about_the_patient_is_logged(listen, caplog, capfd):
    port, _ = listen("allow=US1")
    logging.getLogger("pynetdicom").setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        from firmware_bridge.dicom.quiet import quieten

        quieten()
        send(port, object_bytes(picture(1)))
        send(port, object_bytes(picture(1))[:-2000])
        send(port, object_bytes(picture(1), PatientBirthDate="not a date", StudyDate="x" * 99))
        send(port, object_bytes(picture(1)), calling="US9")
    out, err = capfd.readouterr()
    for secret in (NAME, NUMBER, BIRTH, "Wirrwarr", "ACC-QUOLL", "not a date", "1.2.3.1"):
        assert secret not in caplog.text + out + err, secret

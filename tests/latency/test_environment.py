from __future__ import annotations

import getpass
import json
import platform
import subprocess
import sys

import numpy as np

from edge_cns.latency.environment import cpu_model, environment, governor, library_versions


def test_it_is_json_and_complete():
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {"cpu", "machine", "cores", "cores_usable", "governor", "system", "python", "versions"}
    assert 1 <= found["cores_usable"] <= found["cores"]
    assert found["python"] == platform.python_version()
    assert cpu_model() == found["cpu"] != ""
    assert governor() == found["governor"]


def test_it_tells_nobodys_name():
    text = json.dumps(environment())
    assert platform.node() not in text or len(platform.node()) < 4
    assert f"/{getpass.getuser()}" not in text


def test_versions():
    found = library_versions()
    assert found["numpy"] == np.__version__
    assert set(found) == {"edge-cns", "ai-edge-litert", "numpy", "opencv-python"}


def test_a_library_that_is_missing(monkeypatch):
    monkeypatch.setattr("edge_cns.latency.environment._LIBRARIES", ("no-such-distribution",))
    assert library_versions() == {"no-such-distribution": None}


_HOLDING = """
import json
import numpy as np
from edge_cns.latency.environment import memory
before = memory()
held = np.ones(40 * 2**20, np.uint8)
print(json.dumps([before, memory()]))
"""


def test_memory_grows_with_what_is_held():
    # In a process of its own: one that has freed much may hold more without growing.
    done = subprocess.run([sys.executable, "-c", _HOLDING], capture_output=True, text=True, check=True)
    before, after = json.loads(done.stdout)
    assert after["peak_rss_mib"] >= before["peak_rss_mib"]
    if before["rss_mib"] is not None:
        assert 35 < after["rss_mib"] - before["rss_mib"] < 60
        assert after["peak_rss_mib"] >= after["rss_mib"] - 1

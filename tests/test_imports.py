"""A device loads the runtime and nothing that only a workstation has."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    *("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "jax", "torch"),
    *("scipy", "sklearn", "pandas", "matplotlib", "h5py", "PIL"),
    *("converters", "edge_cns.training", "edge_cns.evaluation", "hypothesis", "pytest"),
)

PROGRAM = """
import json, sys
{body}
loaded = [name for name in {heavy!r} if name in sys.modules]
print(json.dumps(loaded), file=sys.stderr)
"""


def loaded_by(body: str, *arguments: object) -> list[str]:
    program = PROGRAM.format(body=body, heavy=HEAVY)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


COMMAND = """
from edge_cns.cli import run
status = run(sys.argv[1:])
assert status == 0, status
"""


def test_the_package():
    assert loaded_by("import edge_cns\nassert all(hasattr(edge_cns, name) for name in edge_cns.__all__)") == []


def test_the_command_line_loads_no_command_before_it_is_asked_for():
    body = "import edge_cns.cli\nassert not [m for m in sys.modules if m.startswith('edge_cns.commands.')]"
    assert loaded_by(body) == []


@pytest.mark.parametrize("command", ["predict", "bench", "inspect"])
def test_commands_of_a_device(tiny_bundle, frame_file, tmp_path, command):
    arguments = {
        "predict": ["predict", tiny_bundle, frame_file, "--heatmap", tmp_path, "--json"],
        "bench": ["bench", tiny_bundle, "--frames", 10],
        "inspect": ["bundle", "inspect", tiny_bundle],
    }[command]
    assert loaded_by(COMMAND, *arguments) == []

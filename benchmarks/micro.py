"""Microcontrollers: what a converted bundle takes of a Cortex-M55, and whether it prepares frames as Python does.

    python -m benchmarks.micro NAME.cns [--frame 640x480 ...] [--frames FOLDER] [--out report.json]

For each size of frame the bundle is converted, compiled by arm-none-eabi-gcc for Cortex-M55 and run by
qemu-system-arm on its model of Arm's MPS3 AN547. Needs the packages of tests/peers/install.sh and the extra 'micro'.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.preprocess import load_frames
from converters.c_array import settle_region, to_c_array
from edge_cns.bundle import Bundle, read_bundle
from edge_cns.frames import Frame
from edge_cns.preprocess import image

COMPILER, SIZES, EMULATOR = "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic")
M55 = ("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard", "-O2", "-ffunction-sections", "-fdata-sections")
FRAMES = ("320x240", "640x480", "800x600", "1280x720", "1920x1080")
_SECONDS = 300


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--frame", action="append", help="WIDTHxHEIGHT; may be given several times")
    parser.add_argument("--frames", type=Path, help="folder of images; phantom frames without it")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--out", type=Path, help="the same as JSON")
    arguments = parser.parse_args()
    if absent := missing_tools():
        raise SystemExit(f"{', '.join(absent)}: not installed; run tests/peers/install.sh")
    bundle, pictures = read_bundle(arguments.bundle), load_frames(arguments.frames, arguments.count)
    print("| " + " | ".join(ROW.values()) + " |")
    print("| --- " * len(ROW) + "|")
    rows = []
    for text in arguments.frame or FRAMES:
        width, height = map(int, text.split("x"))
        try:
            row = measure(bundle, (width, height), pictures)
        except Exception as error:  # a size that is refused, or a bundle that is too large, is a row as well
            print(f"| {text} | {' '.join(str(error).split())} |||||||||"[:400])
            continue
        rows.append(row)
        print("| " + " | ".join(str(row[key]) for key in ROW) + " |")
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=2) + "\n")


ROW = {
    "frame": "frame",
    "code": "preprocessing: code",
    "tables": "tables",
    "scratch": "scratch",
    "network": "network",
    "arena": "arena",
    "frames": "frames",
    "differing": "differing px",
}


def measure(bundle: Bundle, size: tuple[int, int], pictures: list[NDArray[np.uint8]]) -> dict[str, Any]:
    """Convert, build and run for one size of frame.

    Args:
        size: width and height, px.
        pictures: ``(H, W)`` uint8, enlarged or shrunk to that size.

    Returns:
        Bytes by name, the number of frames, and how many px of their images differ from Python's.
    """
    frames = np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC) for picture in pictures])
    spec = bundle.contract.input
    region = settle_region(size, None, spec)
    expected = np.stack([image(Frame(frame, region=region), spec) for frame in frames])
    with tempfile.TemporaryDirectory() as name:
        source, build = Path(name) / "source", Path(name) / "build"
        to_c_array(bundle, source, frame=size)
        program = build_program(source, build)
        tensors, model = run_program(program, frames, (spec.height, spec.width))
        defined = definitions(source / "edge_cns_model.h")
        if model != bundle.files["model.tflite"]:
            raise RuntimeError("the board holds another network than the bundle")
        return {
            "frame": f"{size[0]}x{size[1]}",
            "code": section_bytes(build / "edge_cns_micro.o", ".text"),
            "tables": section_bytes(build / "edge_cns_plan.o", ".rodata"),
            "scratch": 2 * int(defined["EDGE_CNS_SCRATCH_WORDS"]),
            "network": section_bytes(build / "edge_cns_model.o", ".rodata"),
            "arena": int(defined["EDGE_CNS_ARENA_BYTES"]),
            "frames": len(frames),
            "differing": int(np.count_nonzero(tensors != expected)),
        }


def missing_tools() -> list[str]:
    """What is not installed of the compiler and the emulator."""
    return [tool for tool in (COMPILER, SIZES, EMULATOR) if shutil.which(tool) is None]


def build_program(source: Path, build: Path, flags: tuple[str, ...] = M55) -> Path:
    """Compile a converted folder with the program for the emulated board.

    Returns:
        The program; beside it lie the objects, one a source file.

    Raises:
        RuntimeError: the compiler says something.
    """
    board = Path(str(files("firmware_bridge") / "micro" / "mps3_an547"))
    build.mkdir(parents=True)
    objects = []
    for path in (*sorted(source.glob("*.c")), *sorted(board.glob("*.c"))):
        objects.append(build / f"{path.stem}.o")
        _call([COMPILER, *flags, *STRICT, f"-I{source}", f"-I{board}", "-c", str(path), "-o", str(objects[-1])])
    program = build / "program.elf"
    script = board / "mps3_an547.ld"
    link = [COMPILER, *flags, "-nostartfiles", f"-T{script}", "-Wl,--gc-sections,--fatal-warnings"]
    _call([*link, *map(str, objects), "-o", str(program)])
    return program


def run_program(program: Path, frames: NDArray[np.uint8], shape: tuple[int, int]) -> tuple[NDArray[np.uint8], bytes]:
    """Run on the emulated board.

    Args:
        frames: ``(N, H, W)`` uint8 of the size that the program was converted for.
        shape: height and width of the network's image.

    Returns:
        The network's images, ``(N, height, width)`` uint8, and the network as the board holds it.

    Raises:
        RuntimeError: the program failed on the board.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "frames.raw").write_bytes(np.ascontiguousarray(frames).tobytes())
        machine = ["-M", "mps3-an547", "-display", "none", "-monitor", "none", "-serial", "none"]
        semihosting = ["-semihosting-config", "enable=on,target=native"]
        _call([EMULATOR, *machine, *semihosting, "-kernel", str(program)], folder)
        tensors = np.fromfile(folder / "tensors.raw", np.uint8).reshape(-1, *shape)
        return tensors ^ 0x80, (folder / "model.raw").read_bytes()


def section_bytes(path: Path, prefix: str) -> int:
    """Bytes of all sections of an object or program whose name begins so."""
    rows = (line.split() for line in _call([SIZES, "-A", str(path)]).splitlines())
    return sum(int(row[1]) for row in rows if len(row) == 3 and row[0].startswith(prefix))


def definitions(header: Path) -> dict[str, str]:
    """What a header defines, by name."""
    words = (line.split(maxsplit=2) for line in header.read_text().splitlines() if line.startswith("#define "))
    return {word[1]: word[2].partition(" /*")[0] for word in words if len(word) == 3}


def _call(command: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RuntimeError(f"{Path(command[0]).name} exited {done.returncode}: {' '.join(said[:4])}")
    return done.stdout


if __name__ == "__main__":
    main()

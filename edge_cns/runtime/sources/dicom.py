"""``dicom://``: DICOM clips and images, file by file, each exam announced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_cns.data.dicom_clip import DicomClip
from edge_cns.errors import BadInputError
from edge_cns.frames import EventKind, Frame, FrameSource, MachineEvent, UnusableFrame
from edge_cns.runtime.sources.playback import PLAYBACK_OPTIONS, Shown, play
from edge_cns.runtime.uri import local_path, one_line, split_uri

__all__ = ["DICOM_SUFFIXES", "DicomFilm", "open_dicom"]

DICOM_SUFFIXES = (".dcm", ".dicom")
"""Of the files in a folder, those that are played."""

_UNREADABLE_SECONDS = 1 / 30


def open_dicom(uri: str, *, live: bool = False) -> FrameSource:
    """Open ``dicom:///PATH?loop=1&rate=native|max|FPS``: a file, or a folder of them in the order of their names.

    Raises:
        BadInputError: nothing there, its first frame cannot be decoded, or an option that cannot be used.
        MissingExtraError: pydicom is not installed.
    """
    rest, options = split_uri(uri, PLAYBACK_OPTIONS)
    path = local_path(uri, rest)
    shown = one_line(str(path))
    try:
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in DICOM_SUFFIXES) if path.is_dir() else [path]
        exists = path.exists()
    except OSError as error:
        raise BadInputError(f"{shown} cannot be read ({error.strerror}); check its name and permissions") from None
    if not exists:
        raise BadInputError(f"{shown} does not exist; give a DICOM file or a folder of them")
    if not files:
        raise BadInputError(f"{shown} has no DICOM files ({', '.join(DICOM_SUFFIXES)}); give a folder that has")
    return play(DicomFilm(files), options, live=live)


class DicomFilm:
    """DICOM files, one after the other, at the rate that each states.

    `EventKind.EXAM` comes first and wherever the exam changes, not where the same one is played again; of files that
    name none, each is an exam of its own, for evidence must never cross patients.

    Raises:
        BadInputError: the first frame of the first file cannot be decoded.
    """

    def __init__(self, files: list[Path]) -> None:
        self._files, self._exam = files, ""
        first = next(iter(DicomClip(files[0], one_line(str(files[0])))))
        if isinstance(first, BadInputError):
            raise first

    def play(self) -> Iterator[Shown]:
        """Decode and show each frame; one that cannot be decoded is an `UnusableFrame` that names its file."""
        for path in self._files:
            try:
                clip = DicomClip(path, one_line(path.name))
            except BadInputError as error:
                yield UnusableFrame(str(error), 0, 0), _UNREADABLE_SECONDS
                continue
            exam = clip.exam or str(path)
            if exam != self._exam:
                self._exam = exam
                yield MachineEvent(EventKind.EXAM, 0, clip.exam), 0.0
            for frame, seconds in zip(clip, clip.seconds, strict=True):
                yield frame if isinstance(frame, Frame) else UnusableFrame(str(frame), 0, 0), seconds

    def close(self) -> None:
        """Nothing is held: a file is open only while a frame of it is decoded."""

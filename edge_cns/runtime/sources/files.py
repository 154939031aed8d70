"""``file://`` and plain paths: told apart into clips, images, folders of images, and DICOM."""

from __future__ import annotations

from pathlib import Path

from edge_cns.data.dicom import is_dicom
from edge_cns.data.images import IMAGE_SUFFIXES
from edge_cns.errors import BadInputError
from edge_cns.frames import FrameSource
from edge_cns.runtime.sources.clip import ClipFilm
from edge_cns.runtime.sources.dicom import DICOM_SUFFIXES, DicomFilm
from edge_cns.runtime.sources.images import ImageFilm
from edge_cns.runtime.sources.playback import PLAYBACK_OPTIONS, Film, play
from edge_cns.runtime.uri import Options, local_path, one_line, scheme_of, split_uri

__all__ = ["open_files"]

_MAGIC_BYTES = 132  # preamble and prefix of DICOM


def open_files(uri: str, *, live: bool = False) -> FrameSource:
    """Open ``file:///PATH?loop=1&rate=native|max|FPS`` or a plain path: an image, a folder of images, or a clip.

    A plain path has no options, so that it may hold any character.

    Raises:
        BadInputError: nothing there, no images in the folder, no clip of which a frame can be decoded, or an option
            that cannot be used.
    """
    if scheme_of(uri):
        rest, options = split_uri(uri, PLAYBACK_OPTIONS)
        path = local_path(uri, rest)
    else:
        path, options = Path(uri), Options(one_line(uri), PLAYBACK_OPTIONS)
    try:
        film = _film(path)
    except OSError as error:
        raise BadInputError(
            f"{one_line(str(path))} cannot be read ({error.strerror}); check its name and permissions"
        ) from None
    try:
        return play(film, options, live=live)
    except BadInputError:
        film.close()
        raise


def _film(path: Path) -> Film:
    if path.is_dir():
        images = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not images:
            raise BadInputError(f"{path} has no images ({', '.join(sorted(IMAGE_SUFFIXES))}); give a folder that has")
        if all(image.suffix.lower() in DICOM_SUFFIXES for image in images):
            return DicomFilm(images)
        return ImageFilm(images)
    if not path.exists():
        raise BadInputError(f"{one_line(str(path))} does not exist; give a clip, an image or a folder of images")
    if not path.is_file():
        raise BadInputError(f"{one_line(str(path))} is not a regular file; give a clip, an image or a folder of images")
    with path.open("rb") as file:
        magic = file.read(_MAGIC_BYTES)
    if is_dicom(magic):
        return DicomFilm([path])
    return ImageFilm([path]) if path.suffix.lower() in IMAGE_SUFFIXES else ClipFilm(path)

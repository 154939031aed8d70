"""The phantom: a physics-based simulator of fetal ultrasound, for people who have no data set.

Everything drawn here is simulated. It shows whether software works; it says nothing about patients.

Example:
    >>> from edge_cns.data import phantom
    >>> patient = phantom.draw_patient("encephalocele", seed=3, gestational_age_weeks=20)
    >>> frame = phantom.render(patient, "transthalamic", view=5)
    >>> twin = phantom.render(patient, "transthalamic", view=5, lesion=False)
    >>> frame.pixels.shape
    (256, 256)
"""

from __future__ import annotations

from edge_cns.data.phantom.anatomy import (
    AXIAL_PLANES,
    CLASSES,
    PLANES,
    UNLISTED,
    WEEKS,
    Lesion,
    Patient,
    draw_patient,
    size_at,
    visible_signs,
)
from edge_cns.data.phantom.clip import frames, telling_patient, write_clip
from edge_cns.data.phantom.dataset import LABEL_COLUMNS, PNG_TEXT, write_dataset
from edge_cns.data.phantom.machines import MACHINES, SITES, Machine, machine_named
from edge_cns.data.phantom.png import encode_png, read_text
from edge_cns.data.phantom.rendering import Rendering, render
from edge_cns.data.phantom.view import View, draw_view

__all__ = [
    "AXIAL_PLANES",
    "CLASSES",
    "LABEL_COLUMNS",
    "MACHINES",
    "PLANES",
    "PNG_TEXT",
    "SITES",
    "UNLISTED",
    "WEEKS",
    "Lesion",
    "Machine",
    "Patient",
    "Rendering",
    "View",
    "draw_patient",
    "draw_view",
    "encode_png",
    "frames",
    "machine_named",
    "read_text",
    "render",
    "size_at",
    "telling_patient",
    "visible_signs",
    "write_clip",
    "write_dataset",
]

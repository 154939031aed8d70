"""Who is drawn: a patient's sizes by gestational age, normal variation, and the lesion, if any.

Sizes are interpolated from a table of means at 12 to 36 weeks (biparietal diameter and head circumference). What
is not in the table and is not common knowledge is an assumption and is listed in ``docs/phantom.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.random import Generator, default_rng

from edge_cns.errors import BadInputError

__all__ = [
    "AXIAL_PLANES",
    "CLASSES",
    "PLANES",
    "UNLISTED",
    "WEEKS",
    "Lesion",
    "Patient",
    "draw_patient",
    "size_at",
    "visible_signs",
]

CLASSES = ("anencephaly", "encephalocele", "holoprosencephaly", "normal", "rachischisis")
"""The classes of the default data set, sorted."""
UNLISTED = ("cystic_hygroma", "hydranencephaly", "ventriculomegaly")
"""Anomalies that can be drawn but are never in the default data set: for measuring novelty detection."""
PLANES = (
    "transventricular",
    "transthalamic",
    "transcerebellar",
    "coronal_face",
    "spine_sagittal",
    "spine_transverse",
)
"""The six planes; every class is drawn in each."""
AXIAL_PLANES = PLANES[:3]
WEEKS = (12.0, 36.0)
"""Gestational ages that can be drawn, in completed weeks and fractions."""

_TABLE_WEEKS = (12.0, 16.0, 20.0, 24.0, 28.0, 32.0, 36.0)
_TABLES = {
    "bpd_mm": (20.0, 32.0, 46.0, 59.0, 70.0, 80.0, 89.0),
    "hc_mm": (70.0, 121.0, 175.0, 220.0, 258.0, 290.0, 320.0),
    # Transcerebellar diameter: the number of the week up to 24, then faster (an assumption beyond 24).
    "tcd_mm": (12.0, 16.0, 20.0, 24.0, 30.0, 37.0, 43.0),
    # An assumption: how thick the skull looks.
    "skull_mm": (1.0, 1.3, 1.6, 1.9, 2.2, 2.5, 2.8),
}


@dataclass(frozen=True, slots=True)
class Lesion:
    """What is wrong, and how it looks in this patient.

    Attributes:
        subtype: e.g. ``alobar``, ``occipital``, ``myelomeningocele``.
        angle: where on the skull's outline it sits, radians from the forehead.
        size: extent; the unit is the drawing's (a fraction of the biparietal diameter).
        signs: further signs this patient shows, e.g. ``lemon``, ``banana``, ``sac``, ``ventriculomegaly``.
    """

    subtype: str
    angle: float = pi
    size: float = 0.3
    signs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Patient:
    """One fetus. Lengths are in mm; those of the skull are outer to outer.

    Attributes:
        label: a name from :data:`CLASSES` or :data:`UNLISTED`.
        seed: what everything about this patient was drawn from.
        gestational_age_weeks: 12 to 36.
        breadth_mm, length_mm: outer biparietal and occipito-frontal diameter of the normal head.
        skull_mm: thickness of the skull.
        egg: how much narrower the forehead is than the occiput (0 is a true ellipse).
        ventricle_mm: width of the atrium.
        csp_mm: width of the cavum septi pellucidi; 0 when it cannot be seen.
        cisterna_mm, cerebellum_mm: depth of the cisterna magna, transcerebellar diameter.
        suture_mm: gap of a suture.
        lemon_outline: a normal variant of the outline that must not be read as a lesion.
        twin: a second fetus lies in view.
        murk_db: echo of the amniotic fluid over clear fluid.
        lesion: ``None`` in a normal patient.
    """

    label: str
    seed: int
    gestational_age_weeks: float
    breadth_mm: float
    length_mm: float
    skull_mm: float
    egg: float
    ventricle_mm: float
    csp_mm: float
    cisterna_mm: float
    cerebellum_mm: float
    suture_mm: float
    lemon_outline: bool
    twin: bool
    murk_db: float
    lesion: Lesion | None = None

    def stream(self, *keys: int) -> Generator:
        """A random stream that only this patient and ``keys`` decide, whatever was drawn before."""
        return default_rng([self.seed, *keys])


def size_at(name: str, weeks: float) -> float:
    """Mean of ``bpd_mm`` (outer to inner), ``hc_mm``, ``tcd_mm`` or ``skull_mm`` at a gestational age."""
    return float(np.interp(weeks, _TABLE_WEEKS, _TABLES[name]))


def draw_patient(label: str, seed: int, *, gestational_age_weeks: float | None = None) -> Patient:
    """Draw a patient. Everything but the lesion comes from a stream that does not know the label.

    Args:
        label: a name from :data:`CLASSES` or :data:`UNLISTED`.
        seed: 0 or more; the same seed under two labels is the same fetus with two lesions.
        gestational_age_weeks: 12 to 36; drawn uniformly when ``None``.

    Raises:
        BadInputError: unknown label, negative seed, or an age out of range.
    """
    if label not in CLASSES + UNLISTED:
        raise BadInputError(f"the phantom has no class {label!r}; choose one of {', '.join(CLASSES + UNLISTED)}")
    if seed < 0:
        raise BadInputError(f"phantom seed is {seed}; give 0 or more")
    rng = default_rng([seed, 1])
    drawn_age = float(rng.uniform(*WEEKS))
    age = drawn_age if gestational_age_weeks is None else float(gestational_age_weeks)
    if not WEEKS[0] <= age <= WEEKS[1]:
        raise BadInputError(f"gestational age is {age} weeks; the phantom draws {WEEKS[0]:g} to {WEEKS[1]:g}")
    lesion = None if label == "normal" else _LESIONS[label](default_rng([seed, 2]), age)
    factor = 1.0 + float(np.clip(rng.normal(0.0, 0.025), -0.05, 0.05))
    if lesion and "microcephaly" in lesion.signs:
        factor *= 0.87
    breadth, length = _head(age, float(np.clip(rng.normal(0.785, 0.02), 0.74, 0.83)))
    csp = float(np.clip(rng.normal(5.3, 1.7), 2.5, 9.0)) * float(np.clip(breadth / 60.0, 0.45, 1.0))
    return Patient(
        label=label,
        seed=seed,
        gestational_age_weeks=age,
        breadth_mm=breadth * factor,
        length_mm=length * factor,
        skull_mm=size_at("skull_mm", age) * float(rng.uniform(0.85, 1.15)),
        egg=float(rng.uniform(0.03, 0.10)),
        ventricle_mm=float(np.clip(rng.normal(7.0, 1.0), 4.5, 9.7)) * min(1.0, breadth / 38.0),
        csp_mm=csp if rng.random() < np.interp(age, (14, 15, 16, 17.5, 18), (0, 0.4, 0.82, 0.82, 1)) else 0.0,
        cisterna_mm=float(np.clip(rng.normal(6.0, 1.6), 2.5, 9.8)) * min(1.0, breadth / 50.0),
        cerebellum_mm=size_at("tcd_mm", age) * factor,
        suture_mm=float(rng.uniform(0.5, 1.0)) * (1.0 + breadth / 40.0),
        # A lemon that is a sign is not also a variant: its counterfactual twin is oval.
        lemon_outline=bool(rng.random() < 0.01) and not (lesion and "lemon" in lesion.signs),
        twin=bool(rng.random() < 0.06),
        murk_db=float(rng.choice((0.0, rng.uniform(5.0, 23.0)), p=(0.5, 0.5))),
        lesion=lesion,
    )


def visible_signs(patient: Patient, plane: str) -> tuple[str, ...]:
    """Signs of the lesion itself that this plane cuts; empty when the lesion cannot be seen on it.

    Ventriculomegaly that comes with an encephalocele is not counted: it has many causes.
    """
    lesion = patient.lesion
    if lesion is None:
        return ()
    axial = plane in AXIAL_PLANES
    found: dict[str, bool]
    if patient.label == "anencephaly":
        found = {"no calvarium": axial or plane == "coronal_face"}
    elif patient.label == "encephalocele":
        found = {"bone defect and sac": plane in _encephalocele_planes(lesion)}
    elif patient.label == "holoprosencephaly":
        found = {
            f"{lesion.subtype} forebrain": axial,
            "hypotelorism": plane == "coronal_face" and "hypotelorism" in lesion.signs,
        }
    elif patient.label == "rachischisis":
        found = {
            "lemon": axial and "lemon" in lesion.signs,
            "banana": plane == "transcerebellar" and "banana" in lesion.signs,
            "open spine": plane == "spine_sagittal" or (plane == "spine_transverse" and "level" in lesion.signs),
        }
    else:
        found = {patient.label: axial}
    return tuple(name for name, seen in found.items() if seen)


def _head(weeks: float, cephalic_index: float) -> tuple[float, float]:
    """Outer breadth and length. The table's diameter and circumference cannot both be met by an ellipse
    of cephalic index 0.78, so their sum of diameters is the mean of the two answers (within 4 % of each)."""
    from_bpd = (size_at("bpd_mm", weeks) + size_at("skull_mm", weeks)) * (1.0 + 1.0 / 0.78)
    from_hc = size_at("hc_mm", weeks) / (1.004 * pi / 2.0)
    diameters = 0.5 * (from_bpd + from_hc)
    return diameters * cephalic_index / (1.0 + cephalic_index), diameters / (1.0 + cephalic_index)


def _encephalocele_planes(lesion: Lesion) -> tuple[str, ...]:
    if lesion.subtype == "occipital":
        return AXIAL_PLANES if lesion.size > 0.34 else AXIAL_PLANES[1:]
    if lesion.subtype == "frontal":
        return ("transventricular", "transthalamic", "coronal_face")
    return AXIAL_PLANES[:2]


def _some(rng: Generator, **chances: float) -> frozenset[str]:
    """Each sign with its own chance; one draw a sign, in order, so that streams do not shift."""
    return frozenset([name for name, chance in chances.items() if rng.random() < chance])


def _anencephaly(rng: Generator, age: float) -> Lesion:
    return Lesion("exencephaly" if age < 15.0 else "anencephaly", size=float(rng.uniform(0.85, 1.1)))


def _encephalocele(rng: Generator, age: float) -> Lesion:
    del age
    where = str(rng.choice(("occipital", "frontal", "parietal"), p=(0.75, 0.13, 0.12)))
    centre = {"occipital": pi, "frontal": 0.0, "parietal": 0.5 * pi * float(rng.choice((-1.0, 1.0)))}[where]
    size = float(np.clip(rng.lognormal(np.log(0.55), 0.35), 0.20, 0.85))
    signs = _some(rng, brain=0.6, ventriculomegaly=0.75, microcephaly=0.25)
    return Lesion(where, centre + float(rng.normal(0.0, 0.12)), size, signs)


def _holoprosencephaly(rng: Generator, age: float) -> Lesion:
    chances = (0.45, 0.30, 0.25) if age >= 18.0 else (0.6, 0.4, 0.0)
    subtype = str(rng.choice(("alobar", "semilobar", "lobar"), p=chances))
    signs = _some(rng, cyst=0.35 if subtype == "alobar" else 0.0, hypotelorism=0.8 if subtype == "alobar" else 0.0)
    return Lesion(subtype, size=float(rng.uniform(0.85, 1.1)), signs=signs)


def _rachischisis(rng: Generator, age: float) -> Lesion:
    signs = _some(rng, lemon=0.97 if age <= 24.0 else 0.13, banana=0.95, effaced=0.2, sac=0.3, level=0.85)
    subtype = "myelomeningocele" if "sac" in signs else "rachischisis"
    return Lesion(subtype, size=float(rng.uniform(0.4, 0.65)), signs=signs)


def _unlisted(rng: Generator, age: float) -> Lesion:
    del age
    return Lesion("unlisted", size=float(rng.uniform(0.8, 1.2)))


_LESIONS = {
    "anencephaly": _anencephaly,
    "encephalocele": _encephalocele,
    "holoprosencephaly": _holoprosencephaly,
    "rachischisis": _rachischisis,
    **dict.fromkeys(UNLISTED, _unlisted),
}

"""Acoustic properties of what is drawn. Levels are chosen so that the pictures look right, not measured."""

from __future__ import annotations

from edge_cns.data.phantom.canvas import Tissue

__all__ = [
    "BODY",
    "BONE",
    "BRAIN",
    "CEREBELLUM",
    "CHOROID",
    "DURA",
    "FLUID",
    "GREY",
    "MEMBRANE",
    "ORGAN",
    "RAGGED",
    "SKIN",
    "SKULL",
    "SUTURE",
    "VERMIS",
    "WALL",
]

FLUID = Tissue(-45.0, 0.05)
BRAIN = Tissue(-8.0, 0.2)
GREY = Tissue(-13.5, 0.2)  # thalami, brainstem, cord
CHOROID = Tissue(4.5, 0.25)
CEREBELLUM = Tissue(-5.0, 0.22)
VERMIS = Tissue(4.0, 0.25)
RAGGED = Tissue(-3.0, 0.35, 0.03)  # exposed brain, area cerebrovasculosa
DURA = Tissue(4.0, 0.5, 0.24)  # falx, septa: seen when perpendicular
WALL = Tissue(2.0, 0.3, 0.15)  # walls of ventricles and cysts
MEMBRANE = Tissue(3.0, 0.4, 0.15)
SKULL = Tissue(16.0, 4.6, 1.0)
BONE = Tissue(21.0, 4.5, 0.8)  # ossification centres, face, base of the skull
SUTURE = Tissue(-2.0, 0.5, 0.08)
SKIN = Tissue(3.0, 0.4, 0.10)
BODY = Tissue(-2.0, 0.3)
ORGAN = Tissue(-5.0, 0.28)

"""Microcontrollers by name: how much flash and memory a model may take."""

from __future__ import annotations

from dataclasses import dataclass

from edge_cns.errors import BadInputError

__all__ = ["PARTS", "Part", "find_part", "shortages"]

_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True)
class Part:
    """A microcontroller, or a board where the memory is the board's.

    Attributes:
        flash: bytes for constants and program.
        ram: bytes of the largest stretch of memory that one array can lie in: an arena cannot be split.
        source: where the two numbers are from.
    """

    flash: int
    ram: int
    source: str


PARTS: dict[str, Part] = {
    "mps3-an547": Part(
        8 * _MIB, 4 * _MIB, "QEMU hw/arm/mps2-tz.c, an547_raminfo: QSPI and 'sram 2' (Cortex-M55, emulated)"
    ),
    "alif-ensemble-e8": Part(
        5632 * _KIB, 8 * _MIB, "Zephyr dts/arm/alif/ensemble/ae822fa0e5597ls0.dtsi: MRAM, SRAM0 and SRAM1 (Cortex-M55)"
    ),
    "stm32n6570-dk": Part(
        128 * _MIB, 4_200_000, "Zephyr boards/st/stm32n6570_dk: 1 Gbit of flash beside the chip, 4.2 MB (Cortex-M55)"
    ),
    "stm32h743zi": Part(
        2 * _MIB, 512 * _KIB, "Zephyr dts/arm/st/h7/stm32h743.dtsi and stm32h743Xi.dtsi: AXI SRAM (Cortex-M7)"
    ),
    "stm32u575zi": Part(2 * _MIB, 768 * _KIB, "RIOT boards/nucleo-u575zi-q; SRAM1 to SRAM3 adjoin (Cortex-M33)"),
}
"""By name. A part that is not here needs no row: its limits can be compared with the figures by hand."""


def find_part(name: str) -> Part:
    """Look a part up.

    Raises:
        BadInputError: not in the table; the text lists it.
    """
    if name not in PARTS:
        raise BadInputError(f"there is no part {name!r}; --part knows {', '.join(PARTS)}")
    return PARTS[name]


def shortages(name: str, *, flash: int, ram: int) -> list[str]:
    """What does not fit.

    Args:
        name: of the part.
        flash: bytes of constants.
        ram: bytes of arena and scratch.

    Returns:
        A warning for each limit that is exceeded.
    """
    part = find_part(name)
    needs = (("flash", flash, part.flash), ("memory", ram, part.ram))
    return [
        f"warning: {name} has {has} bytes of {what}, and this alone needs {need}: it does not fit"
        for what, need, has in needs
        if need > has
    ]

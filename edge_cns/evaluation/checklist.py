"""Items of two reporting guidelines: which of them a report of this package answers, and what is left to its author.

Topics are in our own words and short; the guidelines themselves say what each item asks for. STARD-AI: Sounderajah et
al. 2025. CLAIM: Tejani et al. 2024.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["GUIDELINES", "Guideline", "Item"]


@dataclass(frozen=True, slots=True)
class Item:
    """An item.

    Attributes:
        number: in the guideline.
        topic: what it is about.
        sections: names of the report's sections that answer it, where the report has them.
        yours: what the author must still write; empty where the sections are enough.
    """

    number: str
    topic: str
    sections: tuple[str, ...] = ()
    yours: str = ""

    def answered_by(self, present: Collection[str]) -> list[str]:
        """The sections of this report that answer the item, in whole or in part."""
        return [name for name in self.sections if name in present]


@dataclass(frozen=True, slots=True)
class Guideline:
    """A guideline and its items, in order."""

    name: str
    source: str
    items: tuple[Item, ...]


_STARD_AI = (
    Item("1", "title names an AI accuracy study and a measure", yours="title"),
    Item("2", "structured abstract", ("headline",), "abstract; quote the headline figures with intervals"),
    Item("3", "background, intended use, place in the workflow", yours="introduction"),
    Item("4", "objectives and hypotheses", yours="introduction"),
    Item("5", "prospective or retrospective", yours="when data were collected, and for what"),
    Item("6", "ethics approval", yours="committee and number, or why none was needed"),
    Item("7", "eligibility of patients and of frames", ("flow",), "criteria, in the order they were applied"),
    Item("8", "how candidates were identified", yours="symptoms, registry, referral or screening"),
    Item("9", "where and when", yours="hospitals and dates"),
    Item("10", "consecutive, random or convenience series", yours="which"),
    Item("11", "source of the data", ("settings",), "routine, collected for this study, or public"),
    Item("12", "who annotated, and how", yours="readers, experience, what they saw"),
    Item("13", "machines and software", ("subgroups", "settings"), "makers, models and versions of the machines"),
    Item("14", "acquisition and preprocessing", ("settings",), "scanning protocol"),
    Item("15a", "the index test, to be repeated", ("settings",)),
    Item("15b", "how it was developed, sample sizes", ("settings", "sets", "flow", "cross-validation")),
    Item("15c", "cut-offs, fixed before or exploratory", ("patients", "settings"), "why this target was chosen"),
    Item("15d", "who uses it, and their training", yours="intended users"),
    Item("16a", "the reference standard, to be repeated", yours="how each label was made"),
    Item("16b", "why this reference standard", yours="reasons"),
    Item("16c", "cut-offs of the reference standard", yours="definitions of the classes"),
    Item("17a", "blinding of the index test", ("settings",), "whether readers of its output knew more"),
    Item("17b", "blinding of the reference standard", yours="whether annotators saw the model's output"),
    Item("18", "statistical methods", ("headline", "classes", "calibration", "prevalence")),
    Item("19", "indeterminate results", ("abstention", "exams", "patients"), "indeterminate reference results"),
    Item("20", "missing data", ("flow", "subgroups"), "missing reference results"),
    Item("21", "variability of accuracy", ("subgroups", "sets"), "which groups were chosen beforehand"),
    Item("22", "sample size", yours="how it was determined"),
    Item("23", "error analysis, bias and fairness", ("subgroups", "examples", "heatmaps"), "groups not in the labels"),
    Item("24", "flow of participants, drawn", ("flow",)),
    Item("25", "characteristics of each set", ("sets", "flow", "subgroups"), "clinical characteristics by set"),
    Item("26a", "severity among the affected", yours="distribution of severity or subtype"),
    Item("26b", "other diagnoses among the others", ("classes",), "diagnoses behind the negative class"),
    Item("27", "time between test and reference", yours="interval, and what was done in it"),
    Item("28", "do the data resemble the intended population", ("prevalence",), "how these patients differ from it"),
    Item("29", "how external data differ", ("novelty",), "describe the external data, or say there were none"),
    Item("30", "cross-tabulation", ("figures", "exams")),
    Item("31", "accuracy with its precision", ("headline", "classes", "patients", "exams")),
    Item("32", "adverse events", yours="any, or none"),
    Item("33", "limitations", ("heatmaps", "novelty"), "discussion; the model card lists what this package knows"),
    Item("34", "implications for practice", ("prevalence",), "discussion"),
    Item("35", "ethics of use, and fairness", ("subgroups",), "discussion"),
    Item("36", "registration", yours="number and registry"),
    Item("37", "protocol", yours="where it can be read"),
    Item("38", "funding", yours="sources, and their part in the work"),
    Item("39", "commercial interests", yours="any, or none"),
    Item("40a", "data and code to be had", ("settings",), "where, and on what terms"),
    Item("40b", "outputs stored and open to audit", ("settings",), "keep predictions.csv and metrics.json"),
)

_CLAIM = (
    Item("1", "title names AI and its kind", yours="title"),
    Item("2", "structured abstract", ("headline",), "abstract; quote the headline figures with intervals"),
    Item("3", "background, intended use and role", yours="introduction"),
    Item("4", "aims and hypotheses", yours="introduction"),
    Item("5", "prospective or retrospective", yours="which"),
    Item("6", "goal of the study", yours="for instance feasibility, or non-inferiority"),
    Item("7", "data sources", ("settings",), "origin, and links to public data"),
    Item("8", "inclusion and exclusion", ("flow",), "criteria"),
    Item("9", "preprocessing", ("settings",)),
    Item("10", "subsets of the data", ("settings",), "how frames were picked from exams"),
    Item("11", "de-identification", yours="method"),
    Item("12", "missing data", ("flow", "subgroups"), "missing reference results"),
    Item("13", "acquisition protocol", ("subgroups",), "machines, probes, presets"),
    Item("14", "reference standard, defined", yours="how each label was made"),
    Item("15", "reference standard, why", yours="reasons"),
    Item("16", "annotators", yours="who, how many, training"),
    Item("17", "annotation of the test set", yours="tools and procedure"),
    Item("18", "agreement of annotators", yours="measure it"),
    Item("19", "how data were put in partitions", ("sets", "flow", "settings", "cross-validation")),
    Item("20", "level at which partitions are disjoint", ("flow", "sets")),
    Item("21", "intended sample size", yours="how it was determined"),
    Item("22", "the model", ("settings",)),
    Item("23", "libraries and versions", ("settings",)),
    Item("24", "initial weights", ("settings",)),
    Item("25", "training", ("settings",)),
    Item("26", "how the final model was selected", ("settings", "cross-validation")),
    Item("27", "ensembles", yours="none in this package, unless you made one"),
    Item("28", "metrics", ("headline", "classes", "calibration", "prevalence"), "which is the primary one"),
    Item("29", "significance and uncertainty", ("headline", "classes")),
    Item("30", "robustness", ("subgroups", "novelty", "calibration")),
    Item("31", "explanations, and whether they were checked", ("heatmaps",)),
    Item("32", "evaluation on internal data", ("headline", "sets", "cross-validation")),
    Item("33", "testing on external data", ("novelty",), "measure another hospital's data, or say why not"),
    Item("34", "trial registration", yours="where it applies"),
    Item("35", "numbers in and out", ("flow",)),
    Item("36", "characteristics by partition", ("sets", "subgroups"), "clinical characteristics by set"),
    Item("37", "performance with uncertainty", ("headline", "classes", "patients", "sets", "subgroups")),
    Item("38", "diagnostic accuracy with precision", ("headline", "classes", "figures", "exams")),
    Item("39", "analysis of failures", ("examples", "figures"), "say what the wrong ones have in common"),
    Item("40", "limitations", ("heatmaps", "novelty"), "discussion; the model card lists what this package knows"),
    Item("41", "implications for practice", ("prevalence",), "discussion"),
    Item("42", "protocol or technical details", ("settings",), "where they can be read"),
    Item("43", "software, model and data to be had", ("settings",), "where, and on what terms"),
    Item("44", "funding", yours="sources, and their part in the work"),
)

GUIDELINES = (
    Guideline("STARD-AI (2025)", "Nature Medicine 31:3283, doi 10.1038/s41591-025-03953-8", _STARD_AI),
    Guideline("CLAIM, 2024 update", "Radiology: Artificial Intelligence 6:e240300, doi 10.1148/ryai.240300", _CLAIM),
)
"""For studies of diagnostic accuracy, and for imaging AI in general."""

"""Whose exam it is: the way for names and UIDs from the source to a report, inside this process and in memory only.

An exam has an opaque id, which is all that records and logs show. Whoever writes reports subscribes, and is handed a
`Study` for each exam that begins; without a subscriber nothing is kept.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_cns.data.dicom_identity import Identity

__all__ = ["STUDIES", "Names", "Place", "Study", "Subscription"]

_REMEMBERED = 1024  # ids of studies that had an exam in this run
_HELD = 64  # exams that a subscriber has not fetched: far more than can be under way


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame comes from: its object, and its number there, from 1; ``None`` in an object of one frame."""

    sop_class: str
    series: str
    instance: str
    number: int | None

    def __repr__(self) -> str:
        return "Place(...)"


@dataclass(slots=True)
class Study:
    """One exam of a study: what a report on it has to repeat, and where its frames come from.

    Attributes:
        identity: of its first object.
        objects: in the order in which they were shown.
    """

    identity: Identity
    objects: list[Place] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)

    def __repr__(self) -> str:
        return "Study(...)"

    def shown(self, identity: Identity, first_sequence: int, frames: int) -> None:
        """An object's frames have the sequence numbers from ``first_sequence`` on. Objects come in that order."""
        self.objects.append(Place(identity.sop_class, identity.series, identity.instance, None))
        self._counts.append(frames)
        self._starts.append(first_sequence)

    def place(self, sequence: int) -> Place | None:
        """Where a frame comes from; ``None`` for one that is not of this exam."""
        i = bisect_right(self._starts, sequence) - 1
        if i < 0 or sequence - self._starts[i] >= self._counts[i]:
            return None
        found = self.objects[i]
        if self._counts[i] == 1:
            return found
        return Place(found.sop_class, found.series, found.instance, sequence - self._starts[i] + 1)


class Subscription:
    """The studies of exams that began, for one who writes reports.

    Attributes:
        reviewed: whether it waits for a person to accept the finding.
    """

    def __init__(self, *, reviewed: bool) -> None:
        self.reviewed = reviewed
        self._studies: OrderedDict[str, Study] = OrderedDict()
        self._changed = threading.Lock()

    def put(self, exam: str, study: Study) -> None:
        """An exam begins."""
        with self._changed:
            self._studies[exam] = study
            while len(self._studies) > _HELD:
                self._studies.popitem(last=False)

    def find(self, exam: str) -> Study | None:
        """The study of an exam."""
        with self._changed:
            return self._studies.get(exam)

    def forget(self, exam: str) -> None:
        """An exam is over."""
        with self._changed:
            self._studies.pop(exam, None)


class Studies:
    """Where exams are announced, and subscribers hear of them."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self._changed = threading.Lock()

    @property
    def reviewed(self) -> bool:
        """Whether a subscriber waits for a person's judgement."""
        with self._changed:
            return any(subscription.reviewed for subscription in self._subscriptions)

    def subscribe(self, *, reviewed: bool) -> Subscription:
        """Hear of exams from now on."""
        subscription = Subscription(reviewed=reviewed)
        with self._changed:
            self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Hear of no more."""
        with self._changed:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

    def begin(self, exam: str, study: Study) -> None:
        """Announce an exam; before its first frame, so that every subscriber knows it in time."""
        with self._changed:
            for subscription in self._subscriptions:
                subscription.put(exam, study)


STUDIES = Studies()
"""Of this process: source and sinks are opened apart, and meet here."""


class Names:
    """Opaque names for studies, by a key that this run alone has: they tell nothing, here or to another run."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._times: OrderedDict[str, int] = OrderedDict()

    def key(self, study: str, attributes: Mapping[str, str]) -> str:
        """Sixteen hexadecimal digits that are the same for the objects of one study of one patient."""
        text = f"{study}\0{attributes.get('PatientID', '')}\0{attributes.get('IssuerOfPatientID', '')}"
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=8).hexdigest()

    def exam(self, key: str) -> str:
        """A name for the next exam of a study: the key itself, then ``KEY-2`` and so on."""
        times = self._times.pop(key, 0) + 1
        self._times[key] = times
        while len(self._times) > _REMEMBERED:
            self._times.popitem(last=False)
        return key if times == 1 else f"{key}-{times}"

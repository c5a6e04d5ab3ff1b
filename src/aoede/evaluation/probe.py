"""Linear probes: what of language, speaker or quality can be read off embeddings by a plane.

Owns the fits (logistic regression for classes, ridge regression for numbers), the parts that recordings are split
into, and the figures beside chance. Knows nothing of models or sound. Alain and Bengio 2017 name the method.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.evaluation.embeddings import Embedding
from aoede.evaluation.intervals import Interval, mean

__all__ = ["ProbeReport", "probe_classes", "probe_numbers"]

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Weights of the squared norm that are tried, by cross-validation inside the training part."""

FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """How well a label is read off."""

    label: str
    figure: Interval
    """Accuracy over the test recordings; for numbers, the share of variance explained (R squared)."""

    chance: float
    """Accuracy of always naming the commonest class of the training part; for numbers 0, that of naming their mean."""

    uniform: float | None
    """Accuracy of guessing among the classes; None for numbers."""

    error: Interval | None
    """Mean absolute error of numbers; None for classes."""

    num_train: int
    num_test: int
    classes: tuple[str, ...]
    penalty: float
    how: str
    """How recordings were split, in words."""

    confusions: tuple[tuple[str, str, int], ...] = ()
    """(true class, what was read, how often), the commonest first."""

    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For a person."""
        what = f"{len(self.classes)} classes" if self.classes else "numbers"
        lines = [
            f"{self.label}: {what}, {self.num_train} recordings to learn from, {self.num_test} to test ({self.how})"
        ]
        value = f"{self.figure.value:.3f} (95 %: {self.figure.low:.3f} to {self.figure.high:.3f})"
        if self.uniform is not None:
            lines.append(
                f"  accuracy {value}   chance {self.chance:.3f} (commonest class), {self.uniform:.3f} (guessing)"
            )
        else:
            assert self.error is not None
            lines.append(f"  R squared {value}   mean error {self.error.value:.3f}   chance 0 (naming the mean)")
        lines += [f"  {count} x {true} read as {read}" for true, read, count in self.confusions[:5]]
        return [*lines, *(f"  note: {note}" for note in self.notes)]


def probe_classes(
    embeddings: Sequence[Embedding], labels: Mapping[str, str], label: str, *, test: str | None = None, seed: int = 0
) -> ProbeReport:
    """Logistic regression of a class.

    Args:
        embeddings: the recordings; those without a label are left out, with a note.
        labels: recording id to class.
        test: the split to test on, everything else is learned from; None takes "heldout" or "test" where one of them
            is among the splits, and cross-validation where not. Pieces and augmented copies of one recording never
            stand on both sides; nor does, in cross-validation of another label, one speaker. A split that has its
            speakers on both sides is taken as it is, with a note.
    Raises:
        ValueError: fewer than two classes, or a part without recordings.
    """
    data = _Data(embeddings, labels, label, test, seed)
    classes = sorted(set(data.values))
    if len(classes) < 2:
        raise ValueError(f"all recordings have {label} {classes[0]!r}; a probe needs two classes at least")
    y = np.array([classes.index(value) for value in data.values])
    right, predicted, penalties, chances = np.zeros(len(y)), np.full(len(y), -1), [], np.zeros(len(y))
    for learn, check in data.parts:
        missing = sorted({classes[i] for i in set(y[check]) - set(y[learn])})
        if missing:
            data.notes.append(f"not among what is learned from, so never right: {', '.join(missing[:5])}")
        penalty = _penalty(
            data, learn, lambda a, b, p: float((_classify(data.x[a], y[a], data.x[b], p) == y[b]).mean())
        )
        predicted[check] = _classify(data.x[learn], y[learn], data.x[check], penalty)
        chances[check] = y[check] == Counter(y[learn].tolist()).most_common(1)[0][0]
        penalties.append(penalty)
    tested = np.concatenate([check for _, check in data.parts])
    right = (predicted == y)[tested].astype(float)
    pairs = Counter((classes[y[i]], classes[predicted[i]]) for i in tested if predicted[i] != y[i])
    return ProbeReport(
        label=label,
        figure=mean(right.tolist(), seed),
        chance=float(chances[tested].mean()),
        uniform=1 / len(classes),
        error=None,
        num_train=data.num_train,
        num_test=len(tested),
        classes=tuple(classes),
        penalty=float(np.median(penalties)),
        how=data.how,
        confusions=tuple((a, b, n) for (a, b), n in pairs.most_common()),
        notes=tuple(dict.fromkeys(data.notes)),
    )


def probe_numbers(
    embeddings: Sequence[Embedding], labels: Mapping[str, float], label: str, *, test: str | None = None, seed: int = 0
) -> ProbeReport:
    """Ridge regression of a number, such as a predicted opinion score; arguments as for `probe_classes`."""
    data = _Data(embeddings, labels, label, test, seed)
    y = np.array([float(value) for value in data.values])
    if not np.isfinite(y).all():
        raise ValueError(f"{label} holds values that are not finite; leave those recordings out")
    if np.ptp(y) == 0:
        raise ValueError(f"all recordings have {label} {y[0]:g}; a probe needs values that differ")
    predicted, base, penalties = np.zeros(len(y)), np.zeros(len(y)), []
    for learn, check in data.parts:
        penalty = _penalty(
            data, learn, lambda a, b, p: -float(((_regress(data.x[a], y[a], data.x[b], p) - y[b]) ** 2).mean())
        )
        predicted[check], base[check] = _regress(data.x[learn], y[learn], data.x[check], penalty), y[learn].mean()
        penalties.append(penalty)
    tested = np.concatenate([check for _, check in data.parts])
    wrong, plain = (predicted - y)[tested] ** 2, (base - y)[tested] ** 2
    return ProbeReport(
        label=label,
        figure=_explained(wrong, plain, seed),
        chance=0.0,
        uniform=None,
        error=mean(np.sqrt(wrong).tolist(), seed),
        num_train=data.num_train,
        num_test=len(tested),
        classes=(),
        penalty=float(np.median(penalties)),
        how=data.how,
        notes=tuple(dict.fromkeys(data.notes)),
    )


class _Data:
    """Vectors, labels and parts: (what is learned from, what is tested on) as indices, one or more."""

    def __init__(
        self, embeddings: Sequence[Embedding], labels: Mapping[str, object], label: str, test: str | None, seed: int
    ) -> None:
        kept = [one for one in embeddings if labels.get(one.id) not in (None, "")]
        self.notes: list[str] = []
        if len(kept) < len(embeddings):
            self.notes.append(f"{len(embeddings) - len(kept)} recordings have no {label} and are left out")
        if len(kept) < 4:
            raise ValueError(f"{len(kept)} recordings have a {label}; a probe needs 4 at least")
        self.values: list[Any] = [labels[one.id] for one in kept]
        self.x = np.stack([one.vector for one in kept]).astype(np.float64)
        # Pieces `id#2` and augmented copies `id+slow` belong to their recording.
        by_speaker = label != "speaker" and all(one.speaker for one in kept) and len({o.speaker for o in kept}) >= FOLDS
        recordings = [one.id.split("#")[0].split("+")[0] for one in kept]
        self.groups = [one.speaker for one in kept] if by_speaker else recordings
        splits = [one.split for one in kept]
        if test is None:
            test = next((name for name in ("heldout", "test") if name in splits), None)
        self.seed = seed
        if test is None:
            self.parts = self._folds(np.arange(len(kept)))
            what = "speakers" if by_speaker else "recordings"
            self.how = f"{len(self.parts)}-fold cross-validation, whole {what}"
            self.num_train = len(kept)
            return
        check = np.array([i for i, name in enumerate(splits) if name == test], dtype=int)
        tested = {self.groups[i] for i in check} if not by_speaker else set()
        learn = np.array(
            [i for i, name in enumerate(splits) if name != test and self.groups[i] not in tested], dtype=int
        )
        if not len(check) or not len(learn):
            there = ", ".join(sorted({repr(name) for name in splits}))
            raise ValueError(f"split {test!r} has {len(check)} recordings, the others {len(learn)}; there are: {there}")
        known = {kept[i].speaker for i in learn} - {""}
        if label != "speaker" and any(kept[i].speaker in known for i in check):
            self.notes.append(f"speakers of split {test} are learned from too: part of this may be who speaks")
        self.parts = [(learn, check)]
        self.how = f"split {test}"
        self.num_train = len(learn)

    def _folds(self, among: NDArray[np.int_]) -> list[tuple[NDArray[np.int_], NDArray[np.int_]]]:
        """Parts of the given recordings, whole groups each; classes are spread where groups allow it."""
        names = list(dict.fromkeys(self.groups[i] for i in among))
        if len(names) < 2:
            raise ValueError("all recordings are of one speaker or one recording; there is nothing to test on")
        # In order of value, so that every fold has something of each class; shuffled inside a value.
        order = np.random.default_rng(self.seed).permutation(len(names))
        value = {self.groups[i]: str(self.values[i]) for i in among}
        ranked = sorted((names[i] for i in order), key=lambda name: value[name])
        fold_of = {name: place % FOLDS for place, name in enumerate(ranked)}
        folds = np.array([fold_of[self.groups[i]] for i in among])
        return [(among[folds != fold], among[folds == fold]) for fold in sorted(set(folds.tolist()))]


def _penalty(data: _Data, learn: NDArray[np.int_], score: Callable[..., float]) -> float:
    """The penalty that does best inside the training part; the middle one where it cannot be divided."""
    if len({data.groups[i] for i in learn}) < FOLDS:
        return PENALTIES[len(PENALTIES) // 2]
    folds = data._folds(learn)
    scores = [float(np.mean([score(a, b, penalty) for a, b in folds])) for penalty in PENALTIES]
    # The strongest of those that do equally well.
    return max(p for p, s in zip(PENALTIES, scores, strict=True) if s >= max(scores) - 1e-9)


def _scaled(x: NDArray[np.float64], to: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Both standardised by the first, whose columns get mean 0 and deviation 1."""
    centre, spread = x.mean(0), x.std(0)
    spread[spread < 1e-12] = 1.0
    return torch.from_numpy((x - centre) / spread), torch.from_numpy((to - centre) / spread)


def _classify(x: NDArray[np.float64], y: NDArray[np.int_], to: NDArray[np.float64], penalty: float) -> NDArray[np.int_]:
    """Classes that a logistic regression of (x, y) gives to `to`: convex, so LBFGS finds the one minimum."""
    learn, check = _scaled(x, to)
    classes, target = np.unique(y, return_inverse=True)
    if len(classes) == 1:
        return np.full(len(to), classes[0])
    labels = torch.from_numpy(target)
    weight = torch.zeros(len(classes), learn.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-6)

    def loss() -> Tensor:
        solver.zero_grad()
        logits = learn @ weight[:, 1:].T + weight[:, 0]
        value = torch.nn.functional.cross_entropy(logits, labels) + penalty / 2 * weight[:, 1:].square().sum()
        value.backward()
        return value

    solver.step(loss)
    with torch.no_grad():
        found = (check @ weight[:, 1:].T + weight[:, 0]).argmax(-1).numpy()
    return np.asarray(classes[found])


def _regress(
    x: NDArray[np.float64], y: NDArray[np.float64], to: NDArray[np.float64], penalty: float
) -> NDArray[np.float64]:
    """Numbers that a ridge regression of (x, y) gives to `to`."""
    learn, check = _scaled(x, to)
    target = torch.from_numpy(y - y.mean())
    # The form with one unknown a recording: recordings are fewer than columns as a rule.
    gram = learn @ learn.T
    weights = torch.linalg.solve(gram + penalty * len(y) * torch.eye(len(y), dtype=torch.float64), target)
    return (check @ (learn.T @ weights)).numpy() + y.mean()


def _explained(wrong: NDArray[np.float64], plain: NDArray[np.float64], seed: int) -> Interval:
    """1 - wrong/plain over recordings, with its bootstrap interval."""
    from aoede.evaluation.intervals import ratio

    left = ratio(wrong.tolist(), plain.tolist(), seed)
    return Interval(value=1 - left.value, low=1 - left.high, high=1 - left.low, count=left.count)

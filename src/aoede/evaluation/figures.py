"""The figures of a report: what each is called, how it is drawn from utterances, in which order they stand.

Owns names, units, rounding and the sums behind each figure, over a set and paired against another system. Knows
nothing of systems, tables or pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aoede.evaluation.intervals import Interval, difference, ratio
from aoede.evaluation.listening import Utterance
from aoede.evaluation.quality import QualityMeasure

__all__ = ["FAULT_SHARES", "FIGURES", "WORD_ERRORS", "WORD_KINDS", "Figure", "measure_figure"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One column of the tables."""

    name: str
    unit: str
    """Shown beside the name; "%" figures are stored as shares."""
    digits: int
    better: str
    """ "lower", "higher" or "near 1"."""
    part: Callable[[Utterance], tuple[float, float] | None]
    """An utterance's (numerator, denominator), as word errors and words; None where it was not measured."""
    meaning: str = ""
    """One sentence for the page, with its source."""

    def compute(self, utterances: Sequence[Utterance]) -> Interval | None:
        """The figure of a set: the sum of the numerators over that of the denominators."""
        parts = [part for part in map(self.part, utterances) if part is not None]
        return ratio([top for top, _ in parts], [bottom for _, bottom in parts]) if parts else None

    def against(self, utterances: Sequence[Utterance], baseline: Sequence[Utterance]) -> Interval | None:
        """How much higher it is than the baseline's, over the clips that both have: paired, the same resamples."""
        other = {u.id: self.part(u) for u in baseline}
        found = [(self.part(u), other.get(u.id)) for u in utterances]
        pairs = [(one, two) for one, two in found if one is not None and two is not None]
        if not pairs:
            return None
        mine, theirs = zip(*pairs, strict=True)
        return difference(
            [top for top, _ in mine],
            [top for top, _ in theirs],
            [bottom for _, bottom in mine],
            baseline_denominators=[bottom for _, bottom in theirs],
        )

    def of(self, utterance: Utterance) -> float | None:
        """One utterance's own figure."""
        part = self.part(utterance)
        return part[0] / part[1] if part and part[1] else None

    def show(self, interval: Interval | None, with_interval: bool = True) -> str:
        """As a person reads it: `4.2 (3.1 to 5.4)`, or a dash."""
        if interval is None:
            return "-"
        value, low, high = map(self.show_number, (interval.value, interval.low, interval.high))
        return f"{value} ({low} to {high})" if with_interval and interval.count > 1 else value

    def show_number(self, number: float) -> str:
        """One number with this figure's digits, shares as per cent."""
        return f"{number * (100 if self.unit == '%' else 1):.{self.digits}f}"

    def badness(self, value: float) -> float:
        """A number that is lower where the figure is better."""
        return {"lower": value, "higher": -value}.get(self.better, abs(value - 1))

    @property
    def title(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


def _field(name: str) -> Callable[[Utterance], tuple[float, float] | None]:
    def part(utterance: Utterance) -> tuple[float, float] | None:
        value = getattr(utterance, name)
        return None if value is None else (value, 1.0)

    return part


def _words(utterance: Utterance) -> tuple[float, float] | None:
    score = utterance.score
    return None if score is None else (score.word_errors, score.num_words)


def _characters(utterance: Utterance) -> tuple[float, float] | None:
    score = utterance.score
    return None if score is None else (score.character_errors, score.num_characters)


def _factor(name: str) -> Callable[[Utterance], tuple[float, float] | None]:
    """Seconds of computing over seconds of audio."""

    def part(utterance: Utterance) -> tuple[float, float] | None:
        value = getattr(utterance, name)
        return None if value is None else (value, utterance.seconds)

    return part


def _edits(kind: str) -> Callable[[Utterance], tuple[float, float] | None]:
    def part(utterance: Utterance) -> tuple[float, float] | None:
        score = utterance.score
        return None if score is None else (sum(edit.kind == kind for edit in score.edits), score.num_words)

    return part


def _fault(kind: str) -> Callable[[Utterance], tuple[float, float] | None]:
    return lambda utterance: (float(kind in utterance.faults), 1.0)


def measure_figure(measure: QualityMeasure) -> Figure:
    """The column of a further measure."""

    def part(utterance: Utterance) -> tuple[float, float] | None:
        value = utterance.measures.get(measure.name)
        return None if value is None else (value, 1.0)

    return Figure(
        name=measure.name, unit="", digits=measure.digits, better=measure.better, part=part, meaning=measure.source
    )


WORD_ERRORS = Figure(
    name="word errors",
    unit="%",
    digits=1,
    better="lower",
    part=_words,
    meaning="words substituted, lost and added over the words of the texts, both spellings normalised",
)
FIGURES = (
    WORD_ERRORS,
    Figure(
        name="character errors",
        unit="%",
        digits=1,
        better="lower",
        part=_characters,
        meaning="the same over letters, without spaces",
    ),
    Figure(
        name="speaker similarity",
        unit="",
        digits=3,
        better="higher",
        part=_field("similarity"),
        meaning="of the speaker encoder, with the middle of other recordings of the speaker, or with the recording "
        "that it should sound like",
    ),
    Figure(
        name="mel distance",
        unit="",
        digits=2,
        better="lower",
        part=_field("mel_distance"),
        meaning="mean difference of mel magnitudes and of log10 of their squares, windows 2048 and 512, added "
        "(as in the evaluations of DAC, Kumar et al. 2023, and SNAC)",
    ),
    Figure(
        name="STFT distance",
        unit="",
        digits=2,
        better="lower",
        part=_field("stft_distance"),
        meaning="the same on linear spectra",
    ),
    Figure(
        name="SI-SDR",
        unit="dB",
        digits=1,
        better="higher",
        part=_field("si_sdr"),
        meaning="scale-invariant signal to distortion, sample for sample (Le Roux et al. 2019), within -100 to 100",
    ),
    Figure(
        name="SI-SDR aligned",
        unit="dB",
        digits=1,
        better="higher",
        part=_field("si_sdr_aligned"),
        meaning="the same at the whole-sample lag of highest squared correlation, gain and sign free",
    ),
    Figure(
        name="duration ratio",
        unit="",
        digits=2,
        better="near 1",
        part=_field("duration_ratio"),
        meaning="seconds over the recording's, or over what the pace of the recording to speak like would take",
    ),
    Figure(
        name="faulty clips",
        unit="%",
        digits=1,
        better="lower",
        part=lambda utterance: (float(bool(utterance.faults)), 1.0),
        meaning="silent, with a long pause, cut off, of another length, or with words in a loop",
    ),
    Figure(
        name="real-time factor",
        unit="",
        digits=3,
        better="lower",
        part=_factor("compute_seconds"),
        meaning="seconds of computing a second of audio, all clips together",
    ),
    Figure(
        name="encode real-time factor",
        unit="",
        digits=3,
        better="lower",
        part=_factor("encode_seconds"),
        meaning="its part for sound to codes",
    ),
    Figure(
        name="decode real-time factor",
        unit="",
        digits=3,
        better="lower",
        part=_factor("decode_seconds"),
        meaning="its part for codes to sound",
    ),
    Figure(
        name="first audio",
        unit="s",
        digits=2,
        better="lower",
        part=_field("first_audio_seconds"),
        meaning="from asking to the first samples that could be played",
    ),
)
WORD_KINDS = tuple(
    Figure(name=f"words {name}", unit="%", digits=1, better="lower", part=_edits(kind), meaning=meaning)
    for name, kind, meaning in (
        ("replaced", "substituted", "another word was heard"),
        ("lost", "deleted", "nothing was heard in their place"),
        ("added", "inserted", "heard, but not in the text"),
    )
)
"""Word errors by kind; they add up to `WORD_ERRORS`."""

FAULT_SHARES = tuple(
    Figure(name=kind, unit="%", digits=1, better="lower", part=_fault(kind), meaning=meaning)
    for kind, meaning in (
        ("loop", "a run of up to three words heard three times or more in a row, and not so in the text"),
        ("cut off", "stopped by the length guard, loud at its very end, or without the last three words"),
        ("long silence", "a pause of more than a second"),
        ("silent", "no sound at all"),
        ("too long", "more than twice as long as expected"),
        ("too short", "less than half as long as expected"),
    )
)
"""Share of the clips with each fault that `find_faults` finds; a clip may have several."""

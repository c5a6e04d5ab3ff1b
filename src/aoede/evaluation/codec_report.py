"""What an evaluation of codecs found: figures side by side, paired differences, codebooks, first levels alone.

Owns the data of such a report, its JSON and its Markdown (the results page too). The page with players is
`codec_page.py`'s, what an utterance's figures are `figures.py`'s.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aoede.evaluation.codec import LevelUse
from aoede.evaluation.figures import FIGURES, WORD_ERRORS, Figure
from aoede.evaluation.intervals import Interval
from aoede.evaluation.listening import Utterance
from aoede.evaluation.report import Report, plain_interval, plain_utterance, write_texts

__all__ = ["CodecReport", "CodecSheet", "Prefix", "rate_words"]

NOT_FOR_CODECS = ("duration ratio", "first audio")
"""Figures of voices: a codec's copy is as long as the recording, and streams are timed by the benchmark."""


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """Some clips decoded from the first levels alone."""

    levels: int
    bit_rate: float
    """Bits a second of these levels."""
    utterances: tuple[Utterance, ...]
    """The same clips for every prefix and codec."""


@dataclass(frozen=True, kw_only=True)
class CodecSheet:
    """What is known of a codec apart from its sound."""

    label: str
    source: str
    sample_rate: int
    num_parameters: int
    code_rates: tuple[float, ...]
    """Codes a second, a level."""
    codebook_sizes: tuple[int, ...]
    levels: tuple[LevelUse, ...]
    """Use of each codebook over the set."""
    prefixes: tuple[Prefix, ...] = ()
    refused: str | None = None
    """Why there are no prefixes, where the codec cannot leave levels out."""

    @property
    def bit_rate(self) -> float:
        """Bits a second, each code worth log2(codebook size)."""
        return sum(rate * math.log2(size) for rate, size in zip(self.code_rates, self.codebook_sizes, strict=True))

    @property
    def entropy_bit_rate(self) -> float:
        """Bits a second that an ideal coder of single codes would need on this set: each worth its level's entropy."""
        return sum(rate * use.bits for rate, use in zip(self.code_rates, self.levels, strict=True))


@dataclass(frozen=True, kw_only=True)
class CodecReport(Report):
    """Recordings and their copies by one or more codecs; the systems are "recording" and the codecs' labels."""

    rate: int
    """Hz at which everything was compared."""
    sheets: tuple[CodecSheet, ...]
    """In the order given; the first is what the others are compared with."""
    extra: tuple[Figure, ...] = ()
    """Columns of the further measures."""
    unavailable: tuple[tuple[str, str], ...] = ()
    """(measure, why it was not taken and how to get it)."""

    @property
    def columns(self) -> tuple[Figure, ...]:
        """See `Report.columns`: without what says nothing of a codec, with the further measures after SI-SDR."""
        found: list[Figure] = []
        for figure in FIGURES:
            if figure.name not in NOT_FOR_CODECS:
                found.append(figure)
            if figure.name == "SI-SDR aligned":
                found += self.extra
        return tuple(found)

    def name(self, system: str) -> str:
        """Codecs are called by their labels."""
        return "recordings" if system == "recording" else system

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sheet.label for sheet in self.sheets)

    def differences(self, label: str) -> dict[str, Interval]:
        """How much higher each figure is than the first codec's on the same clips (paired), by name."""
        base = self.of(self.labels[0])
        found = {figure.name: figure.against(self.of(label), base) for figure in self.columns}
        return {name: interval for name, interval in found.items() if interval is not None}

    def best(self, figure: Figure) -> str | None:
        """The codec with the best figure; None where there is one codec only, or a tie."""
        values = {label: figure.compute(self.of(label)) for label in self.labels}
        known = {label: interval.value for label, interval in values.items() if interval is not None}
        if len(known) < 2 or len(set(known.values())) == 1:
            return None
        return (min if figure.better == "lower" else max)(known, key=lambda label: known[label])

    def timing(self, label: str) -> str:
        """Lag and polarity of a codec in words: what the aligned SI-SDR took out.

        A clip whose aligned SI-SDR is below 0 dB has less than half of its power in common with the recording: its lag
        is chance, and is not counted.
        """
        clear = [u for u in self.of(label) if u.lag_seconds is not None and (u.si_sdr_aligned or 0.0) >= 0]
        if not clear:
            return "no clear lag (waveforms do not match)"
        lags = [u.lag_seconds or 0.0 for u in clear]
        turned = sum((u.gain or 0.0) < 0 for u in clear)
        clips = f"{len(clear)} clips whose waveforms match"
        return f"lag {float(np.median(lags)) * 1000:.2f} ms, polarity turned in {turned} (of {clips})"

    def worst_clips(self, count: int) -> list[str]:
        """Ids of the clips to hear first: those where any codec loses most words, then is furthest by mel distance."""
        clean = {u.id: u.score.wer if u.score else 0.0 for u in self.of("recording")}

        def key(clip: str) -> tuple[float, float]:
            copies = [u for u in self.utterances if u.id == clip and u.system != "recording"]
            lost = max((u.score.wer - clean[clip] for u in copies if u.score), default=0.0)
            return -lost, -max((u.mel_distance or 0.0 for u in copies), default=0.0)

        return sorted(clean, key=key)[:count]

    def markdown(self) -> str:
        """Tables for docs/results: the codecs, figures, differences, codebooks, first levels, how and with what."""
        parts = [self._facts(), self._figures()]
        if len(self.sheets) > 1:
            parts.append(self._differences())
        parts += [self._codebooks(), self._prefixes(), self._notes()]
        return "\n".join("\n".join(part) + "\n" for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """`Report.to_dict`, and what is known of each codec."""
        data = super().to_dict()
        del data["codebooks"]
        data["compared at"] = self.rate
        data["figures"] = [
            {"name": f.name, "unit": f.unit, "better": f.better, "meaning": f.meaning} for f in self.shown()
        ]
        data["not available"] = [{"name": name, "why": why} for name, why in self.unavailable]
        data["codecs"] = {
            sheet.label: {
                "source": sheet.source,
                "sample rate": sheet.sample_rate,
                "parameters": sheet.num_parameters,
                "bits a second": sheet.bit_rate,
                "bits a second by entropy": sheet.entropy_bit_rate,
                "timing": self.timing(sheet.label),
                "levels": [
                    dataclasses.asdict(use) | {"codes a second": rate, "codebook size": size}
                    for use, rate, size in zip(sheet.levels, sheet.code_rates, sheet.codebook_sizes, strict=True)
                ],
                "against the first codec": plain_interval(
                    {} if sheet.label == self.labels[0] else dict(self.differences(sheet.label))
                ),
                "first levels": [
                    {
                        "levels": prefix.levels,
                        "bits a second": prefix.bit_rate,
                        "figures": plain_interval({f.name: f.compute(prefix.utterances) for f in self.columns}),
                        "utterances": [plain_utterance(u) for u in prefix.utterances],
                    }
                    for prefix in sheet.prefixes
                ],
                "first levels refused": sheet.refused,
            }
            for sheet in self.sheets
        }
        return data

    def page(self, worst: int) -> str:
        """The whole report as HTML that needs nothing else."""
        from aoede.evaluation.codec_page import render

        return render(self, worst)

    def save_results(self, path: str | Path, command: str) -> Path:
        """Writes a results page (Markdown) and, beside it, its chart as SVG; returns the page.

        Args:
            path: such as `docs/results/codec.md`.
            command: what a reader should type to repeat it.
        """
        from aoede.evaluation.charts import standalone
        from aoede.evaluation.codec_page import chart_of

        target = Path(path)
        if target.suffix != ".md":
            raise ValueError(f"{path}: a results page is Markdown, NAME.md")
        figure = next((f for f in self.shown() if f.name in ("PESQ", "mel distance")), None)
        picture = "" if figure is None else f"\n![{figure.name} against bit rate]({target.stem}.svg)\n"
        body = f"# {self.title}\n\nMade by\n\n    {command}\n{picture}\n{self.markdown()}"
        texts = {target.name: body}
        if figure is not None:
            texts[f"{target.stem}.svg"] = standalone(chart_of(self, figure))
        write_texts(target.parent, texts)
        return target

    def _facts(self) -> list[str]:
        lines = [
            "| codec | sample rate | bit rate | by entropy | codes a second | parameters | in time |",
            "|---" * 7 + "|",
        ]
        return lines + [
            f"| {sheet.label} | {sheet.sample_rate / 1000:g} kHz | {rate_words(sheet.bit_rate)} | "
            f"{rate_words(sheet.entropy_bit_rate)} | {sum(sheet.code_rates):.1f} | "
            f"{sheet.num_parameters / 1e6:.1f} M | {self.timing(sheet.label)} |"
            for sheet in self.sheets
        ]

    def _figures(self) -> list[str]:
        names = [self.name(system) for system in self.systems]
        lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for figure in self.shown():
            cells = [figure.show(figure.compute(self.of(system))) for system in self.systems]
            lines.append(f"| {figure.title} | " + " | ".join(cells) + " |")
        added = [self.added_errors(system) for system in self.systems]
        if any(added):
            cells = [WORD_ERRORS.show(interval) for interval in added]
            lines.append("| word errors above the recordings (points) | " + " | ".join(cells) + " |")
        return lines

    def _differences(self) -> list[str]:
        first, others = self.labels[0], self.labels[1:]
        lines = [f"| against {first}, same clips | " + " | ".join(others) + " |", "|---" * (len(others) + 1) + "|"]
        found = {label: self.differences(label) for label in others}
        for figure in self.shown():
            cells = [
                f"{figure.show(found[label].get(figure.name))} {verdict(figure, found[label].get(figure.name))}".strip()
                for label in others
            ]
            lines.append(f"| {figure.title} | " + " | ".join(cells) + " |")
        return lines

    def _codebooks(self) -> list[str]:
        lines = ["| codec | level | codes a second | codes used | entropy, bits | of | perplexity | codes counted |"]
        lines.append("|---" * 8 + "|")
        for sheet in self.sheets:
            for i, (use, rate, size) in enumerate(
                zip(sheet.levels, sheet.code_rates, sheet.codebook_sizes, strict=True)
            ):
                lines.append(
                    f"| {sheet.label} | {i + 1} | {rate:.2f} | {use.utilisation:.1%} | {use.bits:.2f} | "
                    f"{math.log2(size):.2f} | {use.perplexity:.0f} | {use.num_codes:,} |"
                )
        return lines

    def _prefixes(self) -> list[str]:
        figures = self.prefix_figures()
        if not figures:
            return []
        lines = ["| codec | first levels | bit rate | " + " | ".join(f.title for f in figures) + " |"]
        lines.append("|---" * (3 + len(figures)) + "|")
        for sheet in self.sheets:
            for prefix in sheet.prefixes:
                cells = [figure.show(figure.compute(prefix.utterances)) for figure in figures]
                lines.append(
                    f"| {sheet.label} | {prefix.levels} of {len(sheet.levels)} | {rate_words(prefix.bit_rate)} | "
                    + " | ".join(cells)
                    + " |"
                )
        return lines

    def prefix_figures(self) -> list[Figure]:
        """The figures that the first levels alone were measured by."""
        wanted = {"mel distance", "STFT distance", "SI-SDR aligned", *(figure.name for figure in self.extra)}
        parts = [prefix.utterances for sheet in self.sheets for prefix in sheet.prefixes]
        return [f for f in self.columns if f.name in wanted and any(f.compute(part) is not None for part in parts)]

    def _notes(self) -> list[str]:
        lines = [f"- {name}: {value}" for name, value in self.settings.items()]
        floor = self.stranger_similarity()
        if floor is not None:
            lines.append(f"- speaker similarity of recordings to other speakers: {floor:.3f}")
        for figure in self.shown():
            counts = {label: interval.count for label, interval in self._counts(figure).items()}
            fewer = {label: n for label, n in counts.items() if n < len(self.of(label))}
            if fewer:
                said = ", ".join(f"{n} of {len(self.of(label))} clips of {label}" for label, n in fewer.items())
                lines.append(f"- {figure.name} was found in {said}")
        lines += [f"- {sheet.label}: first levels alone: {sheet.refused}" for sheet in self.sheets if sheet.refused]
        lines += [f"- not measured: {name}: {why}" for name, why in (*self.unavailable, *self.failures)]
        lines += [f"- {figure.name}: {figure.meaning}" for figure in self.shown()]
        lines.append("- in brackets: 95 % interval, bootstrap over clips; differences are paired, clip by clip")
        return lines

    def _counts(self, figure: Figure) -> dict[str, Interval]:
        found = {label: figure.compute(self.of(label)) for label in self.labels}
        return {label: interval for label, interval in found.items() if interval is not None}


def verdict(figure: Figure, interval: Interval | None) -> str:
    """ "better" or "worse" where the paired interval leaves 0 out, else ""."""
    if interval is None or interval.low <= 0 <= interval.high:
        return ""
    return "better" if (interval.value < 0) == (figure.better == "lower") else "worse"


def rate_words(bits: float) -> str:
    """`984 bit/s`, `1.88 kbit/s`."""
    return f"{bits:.0f} bit/s" if bits < 1000 else f"{bits / 1000:.2f} kbit/s"

"""What an evaluation of codecs found beside the figures: bit rates, codebooks, first levels alone.

Owns the data that only a codec's report has, their JSON and Markdown (the results page too). What it shares with a
voice's is `report.py`'s, the page with players `codec_page.py`'s.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aoede.evaluation.codec import LevelUse
from aoede.evaluation.figures import FIGURES, Figure
from aoede.evaluation.listening import Utterance
from aoede.evaluation.report import Report, markdown_table, plain_interval, plain_utterance

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

    @property
    def labels(self) -> tuple[str, ...]:
        """See `Report.labels`: the codecs."""
        return tuple(sheet.label for sheet in self.sheets)

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

    def trouble(self, made: Sequence[Utterance]) -> tuple[float, ...]:
        """See `Report.trouble`: how far the furthest copy is."""
        return (-max((u.mel_distance or 0.0 for u in made), default=0.0),)

    def parts(self) -> list[list[str]]:
        """See `Report.parts`: the codecs first; codebooks and first levels before the notes."""
        *figures, notes = super().parts()
        refused = [f"- {sheet.label}: first levels alone: {sheet.refused}" for sheet in self.sheets if sheet.refused]
        return [self._facts(), *figures, self._codebooks(), self._prefixes(), refused + notes]

    def to_dict(self) -> dict[str, Any]:
        """`Report.to_dict`, and what is known of each codec."""
        data = super().to_dict()
        data["compared at"] = self.rate
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

    def picture(self) -> tuple[str, str] | None:
        """See `Report.picture`: PESQ, or else the mel distance, against bit rate."""
        from aoede.evaluation.codec_page import chart_of

        figure = next((f for f in self.shown() if f.name in ("PESQ", "mel distance")), None)
        return None if figure is None else (f"{figure.name} against bit rate", chart_of(self, figure))

    def _facts(self) -> list[str]:
        head = ["codec", "sample rate", "bit rate", "by entropy", "codes a second", "parameters", "in time"]
        return markdown_table(
            head,
            [
                [
                    sheet.label,
                    f"{sheet.sample_rate / 1000:g} kHz",
                    rate_words(sheet.bit_rate),
                    rate_words(sheet.entropy_bit_rate),
                    f"{sum(sheet.code_rates):.1f}",
                    f"{sheet.num_parameters / 1e6:.1f} M",
                    self.timing(sheet.label),
                ]
                for sheet in self.sheets
            ],
        )

    def _codebooks(self) -> list[str]:
        head = ["codec", "level", "codes a second", "codes used", "entropy, bits", "of", "perplexity", "codes counted"]
        rows = []
        for sheet in self.sheets:
            levels = zip(sheet.levels, sheet.code_rates, sheet.codebook_sizes, strict=True)
            for i, (use, rate, size) in enumerate(levels, 1):
                found = [f"{use.utilisation:.1%}", f"{use.bits:.2f}", f"{math.log2(size):.2f}", f"{use.perplexity:.0f}"]
                rows.append([sheet.label, str(i), f"{rate:.2f}", *found, f"{use.num_codes:,}"])
        return markdown_table(head, rows)

    def _prefixes(self) -> list[str]:
        figures = self.prefix_figures()
        if not figures:
            return []
        rows = []
        for sheet in self.sheets:
            for prefix in sheet.prefixes:
                cells = [figure.show(figure.compute(prefix.utterances)) for figure in figures]
                levels = f"{prefix.levels} of {len(sheet.levels)}"
                rows.append([sheet.label, levels, rate_words(prefix.bit_rate), *cells])
        return markdown_table(["codec", "first levels", "bit rate", *(f.title for f in figures)], rows)

    def prefix_figures(self) -> list[Figure]:
        """The figures that the first levels alone were measured by."""
        wanted = {"mel distance", "STFT distance", "SI-SDR aligned", *(figure.name for figure in self.extra)}
        parts = [prefix.utterances for sheet in self.sheets for prefix in sheet.prefixes]
        return [f for f in self.columns if f.name in wanted and any(f.compute(part) is not None for part in parts)]


def rate_words(bits: float) -> str:
    """`984 bit/s`, `1.88 kbit/s`."""
    return f"{bits:.0f} bit/s" if bits < 1000 else f"{bits / 1000:.2f} kbit/s"

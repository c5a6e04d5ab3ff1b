"""One recording through all steps: `clean`.

Owns their order, what is kept, and a line of words and numbers for each thing that was decided. A pure function of the
samples, the clip's words, the settings and the judges: opens no file, knows of no other recording.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ..manifest import Clip
from .clipping import clipped_samples
from .config import CleanConfig
from .cutting import Cut, cut_at_pauses
from .frames import LOWEST_RATE, Frames, measure_frames
from .judges import Judges, Unjudged
from .loudness import integrated_loudness
from .noise import noise_power, signal_to_noise
from .voice import Span, voiced_spans

__all__ = ["STEPS", "Cleaned", "Event", "Piece", "clean"]

STEPS = (
    "duplicates", "resample", "trim", "loudness", "language", "transcript", "cut", "duration", "clipping", "noise",
    "mos",
)  # fmt: skip
"""In the order in which a recording passes them; from `duration` on, each of its pieces does."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What is kept: the whole of a recording but for its ends, or a piece of it."""

    samples: NDArray[np.float32]
    """[T] in [-1, 1] at the codec's rate."""

    start_seconds: float
    """Where it begins in the recording."""

    seconds: float
    number: int | None = None
    """Its place, from 0, among all pieces of a recording that was cut, dropped ones counted; None where it was not
    cut. Which words of the text a numbered piece holds is unknown."""

    def name(self, clip_id: str) -> str:
        """The id of this piece of the clip `clip_id`: `<id>`, or `<id>#<number>`."""
        return clip_id if self.number is None else f"{clip_id}#{self.number}"


@dataclass(frozen=True, kw_only=True)
class Event:
    """What one step found in a recording or a piece of it."""

    step: str
    """One of `STEPS`."""

    kept: bool
    reason: str = ""
    """Why it was dropped, what was changed, or why nothing could be measured; empty where there is nothing to say."""

    value: float | None = None
    """duplicates: none; resample: the recording's rate in Hz; trim, cut: seconds left out; loudness: LUFS as found;
    language: how sure; transcript: character errors; duration: seconds; clipping: share; noise: dB; mos: score."""

    start_seconds: float = 0.0
    seconds: float = 0.0
    """The part of the recording that this is about."""


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What became of a recording."""

    pieces: tuple[Piece, ...]
    """Empty where all of it was dropped."""

    events: tuple[Event, ...]

    @property
    def reason(self) -> str:
        """Why nothing is left, as `step: words`; empty where something is."""
        dropped = [event for event in self.events if not event.kept]
        return f"{dropped[0].step}: {dropped[0].reason}" if dropped and not self.pieces else ""


def clean(
    samples: NDArray[np.float32], rate: int, clip: Clip, config: CleanConfig, judges: Judges, codec_rate: int
) -> Cleaned:
    """Run the steps that are on, in the order of `STEPS`; measure duration, loudness, clipping and noise in any case.

    Args:
        samples: [T] float32 in [-1, 1], one channel, at the recording's own rate (clipping shows only there).
        rate: that rate, Hz.
        clip: its text and language are compared with what the judges hear.
        judges: from `load_judges(config)`.
        codec_rate: rate of the pieces, Hz.
    Returns:
        the pieces kept, and an event a step and part. The same arguments give the same bytes.
    Raises:
        ValueError: samples that are not one channel of finite numbers, or a rate too low for voices.
    """
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise ValueError(
            f"{clip.id}: samples have shape {samples.shape}; one channel [T] of finite numbers is expected"
        )
    if min(rate, codec_rate) < LOWEST_RATE:
        raise ValueError(f"{clip.id}: {min(rate, codec_rate)} Hz; cleaning needs {LOWEST_RATE} Hz or more")
    return _Work(np.ascontiguousarray(samples, dtype=np.float32), rate, clip, config, judges, codec_rate).done()


class _Work:
    """The state between the steps of one recording: samples at the codec's rate, and events so far."""

    def __init__(
        self, samples: NDArray[np.float32], rate: int, clip: Clip, config: CleanConfig, judges: Judges, codec_rate: int
    ) -> None:
        self.clip, self.config, self.judges, self.rate = clip, config, judges, codec_rate
        self.own_rate, self.whole = rate, len(samples) / rate
        self.samples = samples
        self.clipped = clipped_samples(samples) / rate
        self.events: list[Event] = []

    def done(self) -> Cleaned:
        if not len(self.samples):
            self._say("duration", False, "no samples", 0.0)
            return self._cleaned([])
        if not self._resample():
            return self._cleaned([])
        frames = measure_frames(self.samples, self.rate)
        spans = voiced_spans(frames, len(self.samples), self.config.voice)
        within = self._trim(spans)
        if within is None:
            return self._cleaned([])
        self._loudness(within)
        if not self._language(within) or not self._transcript(within):
            return self._cleaned([])
        cuts = self._cut(frames, spans, within)
        noise = noise_power(frames, spans, len(self.samples))
        pieces = []
        for number, cut in enumerate(cuts):
            if self._piece_is_good(cut, frames, spans, noise):
                start, seconds = cut.start / self.rate, (cut.stop - cut.start) / self.rate
                pieces.append(
                    Piece(
                        samples=self.samples[cut.start : cut.stop].copy(),
                        start_seconds=start,
                        seconds=seconds,
                        number=number if len(cuts) > 1 else None,
                    )
                )
        return self._cleaned(pieces)

    def _say(
        self, step: str, kept: bool, reason: str = "", value: float | None = None, within: Span | None = None
    ) -> bool:
        start, seconds = (0.0, self.whole) if within is None else self._seconds(within)
        event = Event(step=step, kept=kept, reason=reason, value=value, start_seconds=start, seconds=seconds)
        self.events.append(event)
        return kept

    def _cleaned(self, pieces: list[Piece]) -> Cleaned:
        return Cleaned(pieces=tuple(pieces), events=tuple(self.events))

    def _seconds(self, within: Span) -> tuple[float, float]:
        """Start and length."""
        return within[0] / self.rate, (within[1] - within[0]) / self.rate

    def _resample(self) -> bool:
        rate, lowest = self.own_rate, self.config.lowest_rate
        if lowest is not None and rate < lowest:
            return self._say("resample", False, f"recorded at {rate} Hz, below {lowest} Hz", rate)
        if rate == self.rate:
            return True
        if not self.config.resample:
            words = f"recorded at {rate} Hz, but the codec takes {self.rate} Hz and resampling is off"
            return self._say("resample", False, words, rate)
        self.samples = np.asarray(soxr.resample(self.samples, rate, self.rate), dtype=np.float32)
        if not len(self.samples):
            return self._say("duration", False, f"no sample is left at {self.rate} Hz", 0.0)
        return self._say("resample", True, f"{rate} Hz to {self.rate} Hz", rate)

    def _trim(self, spans: list[Span]) -> Span | None:
        """The part that is kept."""
        everything = (0, len(self.samples))
        if not self.config.trim:
            return everything
        if not spans:
            self._say("trim", False, "nothing stands out of the background: no voice", self.whole)
            return None
        margin = self._margin()
        within = (max(spans[0][0] - margin, 0), min(spans[-1][1] + margin, len(self.samples)))
        left_out = (len(self.samples) - (within[1] - within[0])) / self.rate
        before, after = within[0] / self.rate, (len(self.samples) - within[1]) / self.rate
        words = f"{before:.2f} s before the voice and {after:.2f} s after it left out" if left_out else ""
        self._say("trim", True, words, left_out)
        return within

    def _margin(self) -> int:
        return round(self.config.voice.margin_seconds * self.rate)

    def _loudness(self, within: Span) -> None:
        found = integrated_loudness(self.samples[slice(*within)], self.rate)
        wanted = self.config.loudness
        if found is None:
            self._say("loudness", True, "too quiet to be measured: left as it is", within=within)
            return
        if wanted is None:
            self._say("loudness", True, "", found, within)
            return
        gain = wanted - found
        peak = 20 * math.log10(float(np.abs(self.samples[slice(*within)]).max()))
        room = self.config.highest_peak - peak
        words = f"{gain:+.1f} dB"
        if gain > room:
            words, gain = f"{room:+.1f} dB instead of {gain:+.1f}: its peak allows no more", room
        self.samples = self.samples * np.float32(10 ** (gain / 20))
        self._say("loudness", True, words, found, within)

    def _language(self, within: Span) -> bool:
        limit, judge, said = self.config.language, self.judges.language, self.clip.language
        if limit is None or judge is None:
            return True
        if not said:
            return self._say("language", True, "the clip has no language to compare with", within=within)
        try:
            heard, sure = judge.language(self.samples[slice(*within)], self.rate)
        except Unjudged as error:
            return self._say("language", True, f"not judged: {error}", within=within)
        if _code(heard) != _code(said) and sure >= limit:
            words = f"{heard} is heard ({sure:.0%} sure), but the clip says {said}"
            return self._say("language", False, words, sure, within)
        return self._say("language", True, f"{heard} is heard", sure, within)

    def _transcript(self, within: Span) -> bool:
        limit, judge = self.config.transcript, self.judges.transcript
        if limit is None or judge is None:
            return True
        if not self.clip.text.strip():
            return self._say("transcript", True, "the clip has no text to compare with", within=within)
        try:
            heard = judge.compare(self.samples[slice(*within)], self.rate, self.clip.text, self.clip.language)
        except Unjudged as error:
            return self._say("transcript", True, f"not judged: {error}", within=within)
        errors = heard.character_errors
        if errors > limit:
            words = f"{errors:.0%} character errors, above {limit:.0%}; heard: {heard.heard!r}"
            return self._say("transcript", False, words, errors, within)
        return self._say("transcript", True, "", errors, within)

    def _cut(self, frames: Frames, spans: list[Span], within: Span) -> list[Cut]:
        longest = None if self.config.cut is None else round(self.config.cut * self.rate)
        if longest is None or within[1] - within[0] <= longest:
            return [Cut(start=within[0], stop=within[1], forced=False)]
        # Without voice to go by (trimming is off), the whole is taken for one and cut at its quietest places.
        cuts = cut_at_pauses(frames, spans or [within], within, longest=longest, margin=self._margin())
        left_out = (within[1] - within[0] - sum(cut.stop - cut.start for cut in cuts)) / self.rate
        words = f"{len(cuts)} pieces"
        forced = [f"{cut.start / self.rate:.2f} s" for cut in cuts if cut.forced]
        if forced:
            words += f"; inside sound at {', '.join(forced)}, for want of a pause"
        self._say("cut", True, words, left_out, within)
        return cuts

    def _piece_is_good(self, cut: Cut, frames: Frames, spans: list[Span], noise: float | None) -> bool:
        """Measures the piece; judges it where nothing has dropped it yet."""
        within = (cut.start, cut.stop)
        return all([self._duration(within), self._clipping(within), self._noise(within, frames, spans, noise)]) and (
            self._mos(within)
        )

    def _duration(self, within: Span) -> bool:
        _, seconds = self._seconds(within)
        low, high = self.config.min_seconds, self.config.max_seconds
        if low is not None and seconds < low:
            return self._say("duration", False, f"{seconds:.2f} s, below {low:g} s", seconds, within)
        if high is not None and seconds > high:
            return self._say("duration", False, f"{seconds:.2f} s, above {high:g} s", seconds, within)
        return self._say("duration", True, "", seconds, within)

    def _clipping(self, within: Span) -> bool:
        start, seconds = self._seconds(within)
        first, last = np.searchsorted(self.clipped, (start, start + seconds))
        share = float(last - first) / max(round(seconds * self.own_rate), 1)
        limit = self.config.clipping
        if limit is not None and share > limit:
            words = f"{share:.2%} of the samples are clipped, above {limit:.2%}"
            return self._say("clipping", False, words, share, within)
        return self._say("clipping", True, "", share, within)

    def _noise(self, within: Span, frames: Frames, spans: list[Span], noise_of_all: float | None) -> bool:
        noise = noise_power(frames, spans, len(self.samples), within)
        words = ""
        if noise is None and noise_of_all is not None:
            noise, words = noise_of_all, "by the pauses of the whole recording"
        ratio = None if noise is None else signal_to_noise(frames, spans, noise, within)
        if ratio is None:
            return self._say("noise", True, "no pause to measure the noise in" if spans else "no voice", within=within)
        limit = self.config.noise
        if limit is not None and ratio < limit:
            return self._say("noise", False, f"{ratio:.1f} dB above the noise, below {limit:g} dB", ratio, within)
        return self._say("noise", True, words, ratio, within)

    def _mos(self, within: Span) -> bool:
        limit, judge = self.config.mos, self.judges.mos
        if limit is None or judge is None:
            return True
        try:
            score = judge.opinion(self.samples[slice(*within)], self.rate)
        except Unjudged as error:
            return self._say("mos", True, f"not judged: {error}", within=within)
        if score < limit:
            return self._say("mos", False, f"predicted opinion {score:.2f}, below {limit:g}", score, within)
        return self._say("mos", True, "", score, within)


def _code(language: str) -> str:
    """`en` of `en`, `EN_us` and `en-GB`."""
    return language.replace("_", "-").partition("-")[0].casefold()

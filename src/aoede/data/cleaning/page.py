"""The report of a cleaning as one HTML page that needs no other file: what came in, what each step did, what is left.

Owns the page's order, looks and words. The figures are `summary.py`'s, histograms `histograms.py`'s, sound
`players.py`'s. The same summaries give the same bytes: no time, no host, no script.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from .histograms import MEASURES, Histogram
from .recording import STEPS
from .summary import Example, SourceSummary, StepSummary

__all__ = ["MEANINGS", "render"]

MEANINGS = {
    "duplicates": "identical recordings, sample for sample: the first stays",
    "resample": "brought to the codec's rate; too low a rate is dropped",
    "trim": "what lies before the first voice and after the last is cut off; recordings without voice are dropped",
    "loudness": "one gain a recording, to the wanted integrated loudness (ITU-R BS.1770), held back by its peak",
    "language": "another language is heard than the clip says",
    "transcript": "other words are heard than the text has",
    "cut": "long recordings in pieces, at pauses; what lies between pieces, further from any voice, is left out",
    "duration": "too short or too long",
    "clipping": "samples cut off at a level that is never passed",
    "noise": "power of the voice against that of the pauses",
    "mos": "predicted opinion of listeners",
}

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --panel: #f4f6f8; --text: #1b1f24; --quiet: #5b6470; --line: #d9dde3;
  --kept: #2f7fd1; --dropped: #c8502f; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --panel: #1c2026; --text: #e7eaee; --quiet: #9aa4b1;
  --line: #323943; --kept: #6fb1f0; --dropped: #ff9d7a; } }
* { box-sizing: border-box; } body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1.25rem 4rem;
  background: var(--ground); color: var(--text); font: 15px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .4rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; } p { margin: .3rem 0; max-width: 56rem; }
.quiet, small { color: var(--quiet); } .scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; min-width: 100%; }
td, th { border-bottom: 1px solid var(--line); padding: .3rem 1rem .3rem 0; text-align: right; vertical-align: top;
  white-space: nowrap; }
thead th { color: var(--quiet); font-weight: 500; font-size: .9em; text-align: left; } tbody th { font-weight: 500; }
td.word, td.words, th:first-child { text-align: left; } td.words { white-space: normal; min-width: 16rem; }
.bar { display: inline-flex; width: 9rem; height: .7rem; border-radius: .3rem; overflow: hidden;
  background: var(--line); vertical-align: middle; }
.bar i { background: var(--kept); } .bar i + i { background: var(--dropped); }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); gap: 1rem 2rem; }
svg { width: 100%; height: auto; font-size: 14px; } svg text { fill: var(--quiet); } svg line { stroke: var(--quiet); }
rect.kept, .key.kept { fill: var(--kept); color: var(--kept); }
rect.dropped, .key.dropped { fill: var(--dropped); color: var(--dropped); }
figure { margin: 0; min-width: 0; } figcaption { overflow-wrap: anywhere; } .why { color: var(--dropped); }
img, audio { width: 100%; display: block; } img { height: 5rem; image-rendering: pixelated; border-radius: 4px; }
audio { height: 2.3rem; margin-top: .3rem; } summary { cursor: pointer; padding: .3rem 0; }
:focus-visible { outline: 2px solid var(--kept); outline-offset: 2px; }
"""

KEPT_PLAYERS = 24
DROPPED_PLAYERS = 4
"""Of each step, over all sources."""


def render(sources: Sequence[tuple[SourceSummary, str, str, str]], player: Callable[[Example], str]) -> str:
    """The page.

    Args:
        sources: (summary, kind, language, licence) of each, in the corpus' order.
        player: makes the HTML of an example's sound.
    """
    summaries = [source[0] for source in sources]
    body = [
        "<h1>What the cleaning kept</h1>",
        _headline(summaries),
        _sources(sources),
        _steps(summaries),
        _histograms(summaries),
        _listen(summaries, player),
        _dropped(summaries),
    ]
    inside = "\n".join(part for part in body if part)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width"><title>What the cleaning kept</title>'
        f"<style>{STYLE}</style></head><body><main>{inside}</main></body></html>\n"
    )


def hours(seconds: float) -> str:
    """`2.31 h`, `12.4 min`, `8.0 s`: three digits or so, whatever the size."""
    if seconds >= 3600:
        return f"{seconds / 3600:,.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _headline(summaries: Sequence[SourceSummary]) -> str:
    def total(name: str) -> float:
        return sum(float(getattr(summary, name)) for summary in summaries)

    seconds = total("seconds")
    share = f" ({total('kept_seconds') / seconds:.1%})" if seconds else ""
    words = (
        f"{total('recordings'):,.0f} recordings, {hours(seconds)}: {total('pieces'):,.0f} pieces, "
        f"{hours(total('kept_seconds'))}{share} are kept."
    )
    rest = f"{total('dropped'):,.0f} recordings are dropped whole"
    if total("rejected"):
        rest += f", {total('rejected'):,.0f} could not be read"
    return f"<p>{words} {rest}; <code>clips-*.jsonl</code> beside each source's codes lists every decision.</p>"


def _sources(sources: Sequence[tuple[SourceSummary, str, str, str]]) -> str:
    head = (
        "source",
        "kind",
        "language",
        "licence",
        "recordings",
        "read",
        "pieces",
        "kept",
        "",
        "dropped",
        "unreadable",
    )
    rows = []
    for summary, kind, language, licence in sources:
        share = summary.kept_seconds / summary.seconds if summary.seconds else 0.0
        rows.append(
            (
                escape(summary.name),
                f'<td class="word">{escape(kind)}</td>',
                f'<td class="word">{escape(language)}</td>',
                f'<td class="word">{escape(licence)}</td>',
                f"{summary.recordings:,}",
                hours(summary.seconds),
                f"{summary.pieces:,}",
                f"{hours(summary.kept_seconds)} ({share:.0%})",
                _bar(share),
                f"{summary.dropped:,}",
                f"{summary.rejected:,}",
            )
        )
    return "<h2>Sources</h2>" + _table(head, rows, "Sources")


def _steps(summaries: Sequence[SourceSummary]) -> str:
    steps: dict[str, StepSummary] = {}
    for summary in summaries:
        for name, step in summary.steps.items():
            steps.setdefault(name, StepSummary()).merge(step)
    if not steps:
        return ""
    parts = ["<h2>Steps</h2><p>In their order. A step looks only at what those before it left.</p>", _step_table(steps)]
    if len(summaries) > 1:
        inner = "".join(f"<h3>{escape(s.name)}</h3>{_step_table(s.steps)}" for s in summaries if s.steps)
        parts.append(f"<details><summary>Source by source</summary>{inner}</details>")
    return "".join(parts)


def _step_table(steps: Mapping[str, StepSummary]) -> str:
    head = ("step", "", "looked at", "dropped", "", "changed", "left out", "not measured")
    rows = []
    for name in _ordered(steps):
        step = steps[name]
        left = f"{hours(step.left_out_seconds)}" if step.left_out_seconds else ""
        dropped = f"{step.dropped:,} · {hours(step.dropped_seconds)}" if step.dropped else ""
        rows.append(
            (
                escape(name),
                f'<td class="words quiet">{escape(MEANINGS.get(name, ""))}</td>',
                f"{step.looked_at:,}",
                dropped,
                _bar(1 - step.dropped / max(step.looked_at, 1)),
                f"{step.changed:,}" if step.changed else "",
                left,
                f"{step.unmeasured:,}" if step.unmeasured else "",
            )
        )
    return _table(head, rows, "Steps")


def _histograms(summaries: Sequence[SourceSummary]) -> str:
    merged: dict[str, Histogram] = {}
    for summary in summaries:
        for name, histogram in summary.histograms.items():
            merged.setdefault(name, Histogram(MEASURES[name])).merge(histogram)
    if not merged:
        return ""
    key = '<p><span class="key kept">■</span> kept <span class="key dropped">■</span> dropped, by any step</p>'
    parts = ["<h2>Distributions</h2>", key, _grid(merged)]
    if len(summaries) > 1:
        inner = "".join(f"<h3>{escape(s.name)}</h3>{_grid(s.histograms)}" for s in summaries if s.histograms)
        parts.append(f"<details><summary>Source by source</summary>{inner}</details>")
    return "".join(parts)


def _grid(histograms: Mapping[str, Histogram]) -> str:
    figures = "".join(
        f"<figure><figcaption>{escape(histograms[name].measure.title)}</figcaption>{histograms[name].svg()}</figure>"
        for name in MEASURES
        if name in histograms
    )
    return f'<div class="grid">{figures}</div>'


def _listen(summaries: Sequence[SourceSummary], player: Callable[[Example], str]) -> str:
    parts = []
    for step in _ordered({name: None for summary in summaries for name in summary.examples}):
        if step in ("kept", "rejected"):
            continue
        chosen = _in_turn([summary.examples.get(step, []) for summary in summaries], DROPPED_PLAYERS)
        parts.append(f"<h3>Dropped by {escape(step)}</h3>" + _players(chosen, player))
    kept = _in_turn([summary.examples.get("kept", []) for summary in summaries], KEPT_PLAYERS)
    if kept:
        parts.append("<h3>Kept</h3>" + _players(kept, player))
    if not parts:
        return ""
    words = "<p>Drawn evenly. The sound is the recording's own, before any change, from where the piece begins.</p>"
    return "<h2>To listen to</h2>" + words + "".join(parts)


def _players(examples: Iterable[Example], player: Callable[[Example], str]) -> str:
    figures = []
    for example in examples:
        why = f'<br><span class="why">{escape(example.reason)}</span>' if example.reason else ""
        measured = ", ".join(_value(step, example.values[step]) for step in MEASURES if step in example.values)
        figures.append(
            f"<figure><figcaption>{escape(example.id)} <small>from {example.start_seconds:.2f} s: {measured}</small>"
            f"{why}</figcaption>{player(example)}</figure>"
        )
    return f'<div class="grid">{"".join(figures)}</div>'


def _value(step: str, value: float) -> str:
    return {
        "duration": f"{value:.2f} s",
        "loudness": f"{value:.1f} LUFS",
        "noise": f"{value:.0f} dB signal to noise",
        "clipping": f"{value:.2%} clipped",
        "trim": f"{value:.2f} s cut off",
        "transcript": f"{value:.0%} character errors",
        "mos": f"opinion {value:.2f}",
    }[step]


def _dropped(summaries: Sequence[SourceSummary]) -> str:
    parts = []
    for summary in summaries:
        if not summary.num_drops:
            continue
        rows = [
            (
                escape(example.id),
                f"{example.start_seconds:.2f} s",
                hours(example.seconds),
                escape(example.step),
                _words(example.reason),
            )
            for example in summary.listed
        ]
        more = summary.num_drops - len(rows)
        rest = f"<p>{more:,} more are in this source's <code>clips-*.jsonl</code>.</p>" if more else ""
        head = ("recording", "from", "length", "by", "why")
        parts.append(
            f"<details><summary>{escape(summary.name)}: {summary.num_drops:,}</summary>"
            f"{_table(head, rows, summary.name)}{rest}</details>"
        )
    return "<h2>Everything that was dropped</h2>" + "".join(parts) if parts else ""


def _in_turn(lists: Sequence[Sequence[Example]], most: int) -> list[Example]:
    """The first of every list, then the second of every list, and so on."""
    longest = max(map(len, lists), default=0)
    return [found[place] for place in range(longest) for found in lists if place < len(found)][:most]


def _ordered(steps: Mapping[str, object]) -> list[str]:
    return [*(step for step in STEPS if step in steps), *(step for step in steps if step not in STEPS)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], label: str) -> str:
    """Cells are HTML already, with their `<td>` where they begin with one."""
    names = "".join(f'<th scope="col">{name}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}"><table><thead><tr>{names}</tr>'
        f"</thead><tbody>{lines}</tbody></table></div>"
    )


def _words(text: str) -> str:
    return f'<td class="words">{escape(text)}</td>'


def _bar(share: float) -> str:
    return (
        f'<span class="bar" role="img" aria-label="{share:.1%} kept"><i style="width:{share:.2%}"></i>'
        f'<i style="width:{1 - share:.2%}"></i></span>'
    )

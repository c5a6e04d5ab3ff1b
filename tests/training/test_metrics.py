import json
import sys

import pytest

from aoede.training.metrics import Meter, MetricsLog, against, changes, plot_curves, read_log


def test_a_meter_averages_what_it_got_since_the_last_row():
    meter = Meter()
    meter.add({"loss": 1.0, "rare": 5.0})
    meter.add({"loss": 3.0})
    other = Meter()
    other.load_state_dict(meter.state_dict())
    assert meter.take() == other.take() == {"loss": 2.0, "rare": 5.0}
    assert meter.take() == {}


def test_reopening_at_a_step_cuts_the_rows_after_it_and_a_torn_line(tmp_path):
    log = MetricsLog(tmp_path, tensorboard=False)
    for step in (10, 20, 30):
        log.write(step, "train", {"loss": float(step)})
    log.close()
    with open(log.path, "a") as file:
        file.write('{"step": 40, "pha')
    log = MetricsLog(tmp_path, start_step=20, tensorboard=False)
    log.write(30, "train", {"loss": 0.5})
    log.close()
    assert [(row["step"], row["loss"]) for row in read_log(log.path)] == [(10, 10.0), (20, 20.0), (30, 0.5)]


def test_a_number_that_is_none_is_written_as_a_word(tmp_path):
    log = MetricsLog(tmp_path, tensorboard=False)
    log.write(1, "train", {"loss": float("nan")})
    log.close()
    assert json.loads(log.path.read_text()) == {"step": 1, "phase": "train", "loss": "nan"}


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("{}\nxx\n{}\n")
    with pytest.raises(ValueError, match="line 2"):
        read_log(tmp_path / "metrics.jsonl")


def test_tensorboard_gets_the_same_numbers(tmp_path):
    log = MetricsLog(tmp_path)
    log.write(1, "eval", {"loss/C": 2.0})
    log.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("eval/loss/C")] == [(1, 2.0)]


def test_without_tensorboard_the_log_says_so_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    log = MetricsLog(tmp_path)
    log.write(1, "train", {"loss": 1.0})
    log.close()
    assert "aoede[train]" in log.notice
    assert len(read_log(log.path)) == 1


def test_curves_are_drawn_from_a_log(tmp_path):
    log = MetricsLog(tmp_path, tensorboard=False)
    for step in range(5):
        log.write(step, "train", {"loss": 5.0 - step, "loss/C": 1.0})
        log.write(step, "eval", {"loss": 6.0 - step, "utilisation/C": 0.1 * step})
    log.close()
    assert plot_curves(log.path, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not plot_curves(tmp_path / "none.jsonl", tmp_path / "none.png")


def test_a_number_is_shown_beside_its_baseline():
    assert against("mel", 1.2, 1.5) == "mel 1.2 (from 1.5, -20.0%)"
    assert against("si_sdr", 2.0, -3.5) == "si_sdr 2 (from -3.5)"
    assert against("mel", 1.2, None) == "mel 1.2"
    assert changes({"mel": 1.2, "si_sdr": 2.0, "new": 1.0}, {"mel": 1.5, "si_sdr": -3.5}) == {
        "mel": pytest.approx(-0.2)
    }


def test_curves_have_the_baseline_as_a_line_and_the_change_in_the_label(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    seen = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: seen.append(figure) or save(figure, *a, **k))
    log = MetricsLog(tmp_path, tensorboard=False)
    for step, loss in ((0, 2.0), (10, 1.8), (20, 1.5)):
        log.write(step, "eval", {"loss": loss})
        if step:
            log.write(step, "change", {"loss": loss / 2.0 - 1.0})
    log.close()
    assert plot_curves(log.path, tmp_path / "curves.png")
    (axes,) = seen[0].axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["eval (-25.0%)"].get_ydata()) == [2.0, 1.8, 1.5]
    (baseline,) = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert list(baseline.get_ydata()) == [2.0, 2.0]


def test_details_are_logged_and_not_drawn(tmp_path):
    log = MetricsLog(tmp_path, tensorboard=False)
    log.write(1, "eval", {"loss/radio/C": 4.0})
    log.close()
    assert read_log(log.path)[0]["loss/radio/C"] == 4.0
    assert not plot_curves(log.path, tmp_path / "curves.png")

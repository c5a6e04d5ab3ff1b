import pytest

from aoede.data.cleaning import CleanConfig, Comparison, JudgeConfig, JudgesConfig, load_judges


class Exact:
    """A judge that hears what it was told to."""

    def __init__(self, heard: str = "", errors: float = 0.0):
        if errors < 0:
            raise ValueError(f"errors is {errors}; 0 or more")
        self.heard, self.errors = heard, errors

    def compare(self, samples, rate, text, language):
        return Comparison(character_errors=self.errors, heard=self.heard)


HERE = f"{__name__}:Exact"


def config(call=None, **options):
    judge = JudgeConfig(call=call, options=options)
    return CleanConfig(transcript=0.3, judges=JudgesConfig(transcript=judge))


def test_only_the_judges_of_steps_that_are_on_are_made():
    assert load_judges(CleanConfig(), {"mos": "no.such.module:Thing"}).mos is None
    judges = load_judges(config(HERE, heard="hello"))
    assert judges.transcript.compare(None, 1, "", "").heard == "hello"
    assert (judges.mos, judges.language) == (None, None)


def test_the_default_is_taken_where_the_configuration_names_none():
    judges = load_judges(config(errors=0.5), {"transcript": HERE})
    assert judges.transcript.errors == 0.5


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (config(), "the step transcript is on, but nobody judges"),
        (config("nothing"), "the form 'package.module:callable'"),
        (config("no.such.module:Thing"), "no.such.module:Thing cannot be loaded: No module named 'no'"),
        (config(f"{__name__}:Absent"), "cannot be loaded"),
        (config(HERE, volume=3), "refuses its options {'volume': 3}"),
        (config(HERE, errors=-1), "judges.transcript: errors is -1; 0 or more"),
        (config("builtins:dict"), "has no method `compare`"),
    ],
)
def test_a_judge_that_cannot_be_had_is_told_before_the_work(wanted, words):
    with pytest.raises(ValueError, match=words):
        load_judges(wanted)

"""`aoede train`: a recipe in, a trained thing out. Knows only which objective belongs to which word."""

import argparse
from importlib import import_module

_OBJECTIVES = {"codec": "CodecRecipe", "prior": "PriorRecipe", "speech": "SpeechRecipe", "two_stage": "TwoStageRecipe"}


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("train", help="train a codec, a prior or a speaking model from a recipe")
    objectives = parser.add_subparsers(dest="objective", required=True, metavar="OBJECTIVE")
    for name in _OBJECTIVES:
        word = name.replace("_", "-")
        one = objectives.add_parser(word, help=f"train a {word} model")
        one.add_argument("recipe", help="YAML file, see recipes/")
        one.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="change a value: loop.steps=100")
        one.add_argument("--out", required=True, metavar="DIR", help="folder of the run; an existing run goes on")
        one.add_argument("--resume", default="auto", metavar="HOW", help="auto (default), never, or a checkpoint")
        one.set_defaults(run=run, objective=name)
    prompt = objectives.add_parser("voice-prompt", help="learn a voice from minutes of audio, into a file of kilobytes")
    prompt.add_argument("voice", metavar="VOICE", help="a two-stage voice: folder, bundled name or hub repository")
    prompt.add_argument("recordings", help="manifest of the recordings with texts, or a folder of `aoede prepare`")
    prompt.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="kind=prompt, length=32, steps=400, lr=3e-3")
    prompt.add_argument("--out", required=True, metavar="FILE", help="the voice, for `aoede speak --voice FILE`")
    prompt.set_defaults(run=learn)


def run(args: argparse.Namespace) -> int:
    from aoede.cli.allocator import keep_freed_memory
    from aoede.training.recipe import load_recipe

    keep_freed_memory()
    module = import_module(f"aoede.training.{args.objective}")
    recipe = load_recipe(args.recipe, getattr(module, _OBJECTIVES[args.objective]), args.overrides)
    path = module.train(recipe, args.out, args.resume)
    print(f"written {path}")
    return 0


def learn(args: argparse.Namespace) -> int:
    from aoede.training.recipe import from_settings
    from aoede.training.voice_prompt import VoicePromptConfig, train

    path = train(args.voice, args.recordings, args.out, from_settings(VoicePromptConfig, args.settings))
    print(f"written {path}  {path.stat().st_size / 1000:,.0f} kB")
    return 0

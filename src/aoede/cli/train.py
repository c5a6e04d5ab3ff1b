"""`aoede train`: a recipe in, a trained thing out. Knows only which objective belongs to which word."""

import argparse
from importlib import import_module

_OBJECTIVES = {"codec": "CodecRecipe", "prior": "PriorRecipe", "speech": "SpeechRecipe"}


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("train", help="train a codec, a prior or a speaking model from a recipe")
    objectives = parser.add_subparsers(dest="objective", required=True, metavar="OBJECTIVE")
    for name in _OBJECTIVES:
        one = objectives.add_parser(name, help=f"train a {name} model")
        one.add_argument("recipe", help="YAML file, see recipes/")
        one.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="change a value: loop.steps=100")
        one.add_argument("--out", required=True, metavar="DIR", help="folder of the run; an existing run goes on")
        one.add_argument("--resume", default="auto", metavar="HOW", help="auto (default), never, or a checkpoint")
        one.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from aoede.cli.allocator import keep_freed_memory
    from aoede.training.recipe import load_recipe

    keep_freed_memory()
    module = import_module(f"aoede.training.{args.objective}")
    recipe = load_recipe(args.recipe, getattr(module, _OBJECTIVES[args.objective]), args.overrides)
    path = module.train(recipe, args.out, args.resume)
    print(f"written {path}")
    return 0

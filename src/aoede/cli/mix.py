"""`aoede mix`: a mixture of packed sources drawn into rows, or a plan checked. Knows only options and what to print."""

import argparse
import os


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("mix", help="draw the documents of every training phase from packed sources")
    parser.add_argument("mixture", metavar="MIXTURE", nargs="?", help="YAML file: phases, and the share of each source")
    parser.add_argument("--out", metavar="PLAN", help="folder for the plan")
    parser.add_argument("--seed", type=int, metavar="N", help="in place of the mixture's")
    parser.add_argument("--check", metavar="PLAN", help="check a plan: nothing twice, nothing held out is trained on")
    parser.add_argument("--packed", metavar="DIR", help="where the documents are, in place of what mixture or plan say")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from aoede.data.mixture import MixturePlan, check_plan, describe_plan, load_mixture_config, make_plan, plot_plan

    if args.check:
        print(check_plan(MixturePlan.load(args.check, packed=args.packed)))
        return
    if args.mixture is None or args.out is None:
        raise ValueError("give MIXTURE and --out PLAN, or --check PLAN; see `aoede mix --help`")
    config = load_mixture_config(args.mixture)
    changes = {"seed": args.seed, "packed": args.packed}
    plan = make_plan(replace(config, **{name: value for name, value in changes.items() if value is not None}))
    plan.save(args.out)
    print(describe_plan(plan))
    plot_plan(plan, os.path.join(args.out, "mixture.png"))
    print(f"written {args.out}: mixture.json, mixture.png; `aoede mix --check {args.out}` checks it")

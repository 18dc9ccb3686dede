"""The command ``compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticketsearch.cli.options import (
    DataRoot,
    Download,
    Json,
    Keep,
    RayAddress,
    TaskSettings,
    parse_names,
    parse_settings,
    print_json,
    print_rich,
)
from ticketsearch.errors import InvalidValue
from ticketsearch.visible import visible

if TYPE_CHECKING:
    from ticketsearch.leaderboard import LoadedStudy
    from ticketsearch.studies.item import Finished
    from ticketsearch.studies.study import Study


def compare(
    study: Annotated[
        Path | None, typer.Argument(help="A TOML study; options override what all of its grids say.")
    ] = None,
    strategies: Annotated[
        str | None, typer.Option(help="Names: ga,sa,imp. Default: random, magnitude, early-bird, imp, ga, sa, optuna.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="Names, or package.module:function. Default mnist1d-mlp.")] = None,
    task_settings: TaskSettings = None,
    sparsities: Annotated[str | None, typer.Option(help="Fractions to prune: 0.8,0.9. Default 0.9.")] = None,
    granularity: Annotated[str | None, typer.Option(help="weight, channel, or blocks N:M. Default weight.")] = None,
    keep: Keep = None,
    seeds: Annotated[str | None, typer.Option(help="Paired seeds: 0-9, or 0,1,7. Default 0-9.")] = None,
    budget: Annotated[str | None, typer.Option(help="Of each search, in epochs of the dense network. 2000ep.")] = None,
    fidelity: Annotated[
        str | None,
        typer.Option(help="The evaluator's training: '100step', '2ep', or rising: '100step..800step'."),
    ] = None,
    orders: Annotated[int | None, typer.Option(help="Full trainings of each ticket. Default 3.")] = None,
    checkpoints: Annotated[int | None, typer.Option(help="Masks confirmed on each search's way. Default 8.")] = None,
    controls: Annotated[bool | None, typer.Option(help="Confirm controls of every ticket, and baselines.")] = None,
    frontier: Annotated[bool | None, typer.Option(help="Also IMP at 18 settings: scope, rounds, length.")] = None,
    known: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="RUNS", help="Archive or folder whose finished runs are taken; repeatable."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="RUNS",
            help="Archive, folder, or name of a published study: take its tasks, sparsities, seeds and budgets.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of run folders; default the study's, or runs.")] = None,
    archive: Annotated[
        Path | None, typer.Option(help="Also write all results of the leaderboard as one compact file.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Runs at a time, each in a process. Default 1; with ray, all the cluster's CPUs.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and stop.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    engine: Annotated[str | None, typer.Option(help="sparse, dense, mixed or auto.")] = None,
    executor: Annotated[str | None, typer.Option(help="local, or ray: whole runs on a Ray cluster.")] = None,
    ray_address: RayAddress = None,
    data_root: DataRoot = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Run strategies on tasks over paired seeds and print the leaderboard. Finished runs are not repeated."""
    from rich.console import Console

    from ticketsearch.leaderboard import load_study, merged
    from ticketsearch.records.folder import check_outputs
    from ticketsearch.report.plan import plan_in_full, plan_in_words, time_in_words
    from ticketsearch.report.progress import StudyTable
    from ticketsearch.studies.execution import compute, prepare
    from ticketsearch.studies.forecast import look_ahead
    from ticketsearch.studies.item import Common
    from ticketsearch.studies.known import Known
    from ticketsearch.studies.study import planned

    grid: dict[str, Any] = {
        "strategies": strategies and parse_names(strategies),
        "tasks": _tasks(tasks, task_settings, against is not None),
        "sparsities": sparsities and parse_names(sparsities),
        "granularity": granularity,
        "keep": keep,
        "seeds": seeds,
        "budget": budget,
        "fidelity": fidelity,
        "orders": orders,
        "checkpoints": checkpoints,
        "frontier": frontier,
        "baselines": controls,
        "controls": [] if controls is False else None,
    }
    where = {
        "out": None if out is None else str(out),
        "device": device,
        "engine": engine,
        "executor": executor,
        "ray_address": ray_address,
    }
    check_outputs([archive] if archive else [])
    published = None if against is None else load_study(against)
    plan = _study(study, {key: value for key, value in grid.items() if value is not None}, published)
    plan = plan.model_copy(update={key: value for key, value in where.items() if value is not None})
    made = [load_study(place) for place in known or ()] + ([published] if published else [])
    there = Known.of((all_ := merged(made)).results, all_.baselines, plan) if made else None
    common = Common(plan.out, plan.device, plan.engine, data_root, download, jobs or 1)
    ahead = look_ahead(planned(plan), common, there)
    for line in ahead.left_out:
        print(visible(f"left out: {line}"), file=sys.stderr)
    elsewhere = " on one machine like this" if plan.executor == "ray" else ""
    summary = f"{plan_in_words(ahead.items)}, {time_in_words(ahead)}{elsewhere}"
    if dry_run:
        print(f"{plan_in_full(ahead.items)}\n{summary}")
        return
    prepare(plan, jobs)
    print(f"ticketsearch: {summary}; results go to {visible(plan.out)}", file=sys.stderr)
    with StudyTable(Console(stderr=True, markup=False, emoji=False), [item.row for item in ahead.items]) as table:
        finished = compute(
            plan,
            data_root=data_root,
            download=download,
            jobs=jobs,
            ahead=ahead,
            tell=lambda one: table.tell(one.item.row, one.item.seed, one.accuracy, one.reason, one.finished),
        )
    _show(finished, published, archive, as_json)


def _study(path: Path | None, grid: dict[str, Any], published: LoadedStudy | None) -> Study:
    """What is to be run: a file's, or what options say, or that on what is published."""
    from ticketsearch.studies.against import grids_against
    from ticketsearch.studies.study import make_study, read_study

    if path is not None and published is not None:
        raise InvalidValue(f"{path} says itself on what to run; leave it out, or --against")
    if path is not None:
        return read_study(path, grid)
    asked = make_study("compare", {"grids": [grid]})
    if published is None:
        return asked
    if "strategies" not in grid:
        raise InvalidValue("--against compares strategies of yours: name them, --strategies a,b")
    return make_study("compare", {"grids": grids_against(published.results, asked.grids[0])})


def _show(finished: list[Finished], published: LoadedStudy | None, archive: Path | None, as_json: bool) -> None:
    """The leaderboard; with what is published, also how own strategies stand and what is concluded of them."""
    from ticketsearch import leaderboard
    from ticketsearch.leaderboard import LoadedStudy
    from ticketsearch.leaderboard.analysis import analyse
    from ticketsearch.leaderboard.studies import write_archive
    from ticketsearch.records.results import Result
    from ticketsearch.records.study_records import Baseline
    from ticketsearch.report import text, verdicts
    from ticketsearch.report.against import among, standings

    own = [one.result for one in finished if isinstance(one.result, Result)]
    baselines = [one.result for one in finished if isinstance(one.result, Baseline)]
    study = LoadedStudy(own, baselines) if published is None else among(published, own)
    if archive:
        write_archive(archive, study)
    groups = leaderboard.build(study.results)
    sections = [] if published is None else analyse(study.results, study.baselines)
    failed = [one for one in finished if one.result is None]
    if as_json:
        failures = [{"run": one.item.row, "seed": one.item.seed, "reason": one.reason} for one in failed]
        found: dict[str, Any] = {"groups": [group.as_dict() for group in groups], "failed": failures}
        print_json(found if published is None else found | {"sections": [one.as_dict() for one in sections]})
    else:
        print_rich(text.leaderboard(groups))
        judged = [one for one in sections if one.verdicts]
        if judged:
            print_rich(verdicts.as_renderables(judged))
        for line in standings(groups, own) if published else ():
            print(visible(line))
    for one in failed:
        print(visible(f"failed: {one.item.row} seed {one.item.seed}: {one.reason}"), file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _tasks(names: str | None, settings: list[str] | None, everywhere: bool) -> list[dict[str, Any]] | None:
    """Tasks as a study has them; options are those of every task named. ``everywhere``: no name means any."""
    if names is None and settings is None:
        return None
    if names is None and everywhere:
        raise InvalidValue("--task-set needs --tasks: with --against, tasks have the options that they were run with")
    options = parse_settings(settings or [], "--task-set")
    return [{"name": name, "settings": options} for name in parse_names(names or "mnist1d-mlp")]

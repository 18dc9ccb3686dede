"""Every example of the documentation is a file in ``docs/examples``, and every one of them is executed.

Budgets are cut to seconds, and data sets that would have to be fetched are replaced by small ones of the same kind. All
else is as printed.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

import ticketsearch
from tests.helpers.commands import ROOT, Cli, python
from tests.helpers.images import write_folder, write_idx
from tests.helpers.packages import install
from tests.helpers.tiny import make_problem, masks_of
from ticketsearch.plugins import require_predictor
from ticketsearch.problem.prediction import Predictor, values_of_predictor
from ticketsearch.studies.study import read_study
from ticketsearch.testing import check_encoding, check_strategy

EXAMPLES = ROOT / "docs" / "examples"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARKED = re.compile(r"<!-- (?:run command, )?example: ([\w.-]+) -->\n```\w+\n(.*?)```", re.DOTALL)
FENCED = re.compile(r"(?m)^```(\w+)\n(.*?)^```", re.DOTALL)
SMALL = {
    "cifar10-resnet20": "tests.helpers.images:resnet",
    "fashion-conv2": "tests.helpers.images:conv2",
    "mnist1d_residual:mnist1d_residual": "tests.helpers.tiny:task",
    "prune_at=1000step": "prune_at=5step",
    "rounds=3": "rounds=1",
    "examples=1000": "examples=200",
}
"""Tasks in place of larger ones, and steps within their trainings."""


def files(*suffixes: str) -> list[str]:
    found = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in suffixes)
    assert found
    return found


def printed() -> dict[str, str]:
    return {name: body for page in PAGES for name, body in MARKED.findall(page.read_text())}


def test_every_block_is_a_file_and_every_file_a_block() -> None:
    assert {path.name: path.read_text() for path in EXAMPLES.iterdir()} == printed()
    for page in PAGES:
        text = page.read_text()
        blocks = [body for language, body in FENCED.findall(text) if language in ("sh", "bash", "python", "toml")]
        own = [body for _, body in MARKED.findall(text)]
        if page.name == "README.md":  # the command of the tests is executed by .ci/run, word for word
            own += re.findall(r"<!-- test command -->\n```sh\n(.*?)```", text, re.DOTALL)
        assert sorted(blocks) == sorted(own), f"{page.name} has a block without a mark"
        commands = [body for language, body in FENCED.findall(text) if language == "text" and "\nticketsearch " in body]
        assert commands == [], f"{page.name} has commands in a block of text"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with all examples, small data sets, a study of seconds, a finished run, and a package to install."""
    folder = tmp_path_factory.mktemp("examples")
    for path in EXAMPLES.iterdir():
        shutil.copy(path, folder)
    study = 'tasks = ["tests.helpers.tiny:task"]\nstrategies = ["random"]\nseeds = [0]\nbudget = "12ep"\norders = 1\n'
    (folder / "study.toml").write_text(study + "controls = []\nfrontier = false\nbaselines = false\ncheckpoints = 0\n")
    package = folder / "ticketsearch-climber"
    package.mkdir()
    shutil.copy(EXAMPLES / "ticketsearch-climber.toml", package / "pyproject.toml")
    shutil.copy(EXAMPLES / "climber.py", package)
    data = folder / "data"
    for name in ("MNIST", "FashionMNIST"):
        write_idx(data, name)
    write_folder(data / "my-images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HOME", str(folder))
        patch.setenv("TICKETSEARCH_DATA", str(data))
        patch.syspath_prepend(str(folder))
        ticketsearch.run("magnitude", "tests.helpers.tiny:task", budget="20ep", orders=1, out=folder / "runs")
        ticketsearch.run("random", "tests.helpers.tiny:task", budget="20ep", orders=1, out=folder / "searched")
        yield folder
    for name in files(".py"):
        sys.modules.pop(name.removesuffix(".py"), None)


@pytest.mark.parametrize("name", [name for name in files(".sh") if name != "ray.sh"])  # see tests/cluster
def test_commands(name: str, workspace: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    done = 0
    for line in (workspace / name).read_text().replace("\\\n", " ").splitlines():
        for command in line.split("&&"):
            words = [os.path.expanduser(word) for word in shlex.split(command, comments=True)]
            if not words:
                continue
            if "pip" in words:
                installed(words, workspace, monkeypatch)
            else:
                assert words[0] == "ticketsearch", command
                outcome = cli(*scaled(words[1:], workspace))
                assert outcome.code == 0, f"{command}: {outcome.err}"
            done += 1
    assert done


def installed(words: list[str], workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip would do with a folder beside us; this package is installed already."""
    assert words[-2] in ("install", "-e"), words
    if words[-1] == ".":
        assert (ROOT / "pyproject.toml").is_file()
    else:
        install(workspace / words[-1], monkeypatch)


def tickets(workspace: Path) -> Path:
    """A folder of three runs."""
    for strategy in ("random", "magnitude", "synflow"):
        options: dict[str, Any] = {"budget": "20ep", "orders": 2, "checkpoints": 0, "out": workspace / "tickets"}
        ticketsearch.run(strategy, "tests.helpers.tiny:task", **options)
    return workspace / "tickets"


def scaled(words: list[str], workspace: Path) -> list[str]:
    """The same command with a budget of seconds, on a small task; a later option takes the place of an earlier one."""
    [run] = [path for path in (workspace / "runs").iterdir() if path.name.startswith("tiny-magnitude")]
    if words[:2] == ["fidelity", "--of"]:
        [run] = [path for path in (workspace / "searched").iterdir() if path.name.startswith("tiny-random")]
    words = [{"RUN": str(run), **SMALL}.get(word, word) for word in words]
    words = ["batch_size=30" if word == "batch_size=128" else word for word in words]  # of 270 images
    if words[0] == "run":
        if "my_images:colours" in words:
            words = [*words[: words.index("--task-set")], "--sparsity", "0.5"] if "--task-set" in words else words
            words += ["--task-set", "steps=2", "--budget", "2ep"]
        cuts = ["--orders", "1", "--checkpoints", "0", *([] if "--budget" in words else ["--budget", "20ep"])]
        return [*words, *cuts, *([] if "--task" in words else ["--task", "tests.helpers.tiny:task"])]
    if words[0] == "strong":
        return [*words, "--seeds", "0", "--generations", "3"]
    if words[0] == "verify" and "--sample" in words:
        return [*words, "--sample", "1"]
    if words[0] == "fidelity":
        small = ["--masks", "4", "--steps", "5step", "--confirmations", "2"]
        return [*words, *small] if "--of" in words else [*words, "--task", "tests.helpers.tiny:task", *small]
    if words[0] == "descent":
        small = [
            "--task",
            "tests.helpers.descents:task",
            "--sparsities",
            "0.5,0.8",
            "--widths",
            "0.25,1",
            "--seeds",
            "0",
        ]
        return [*words, *small, "--engine", "dense"]
    if words[0] == "predict":
        words = [str(tickets(workspace)) if before == "--runs" else word for before, word in pairwise(["", *words])]
        small = ["--task", "tests.helpers.tiny:task", "--count", "3", "--confirmations", "2", "--seeds", "0"]
        return [*words, *small, "--predictor", "synflow"]
    if words[0] == "encode":
        return [*words, "--orders", "1"]
    if words[0] == "compare":
        words = [str(workspace / "shared") if word == "/shared/runs" else word for word in words]
        if "--against" in words:
            return [str(workspace / "searched") if word == "mnist1d-wide" else word for word in words]
        cuts = [
            "--seeds",
            "0",
            "--budget",
            "20ep",
            "--orders",
            "1",
            "--checkpoints",
            "0",
            "--no-frontier",
            "--no-controls",
        ]
        return words if words[1].endswith(".toml") else [*words, *cuts, "--tasks", "tests.helpers.tiny:task"]
    return words


@pytest.mark.parametrize("name", files(".py"))
def test_python(name: str, workspace: Path) -> None:
    """A strategy keeps the contract, under every granularity; tests pass; anything else runs."""
    if name.startswith("test_"):
        done = python(
            "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "-o", "addopts=", str(workspace / name)
        )
        assert done.returncode == 0, done.stdout
        assert "passed" in done.stdout
        return
    module = ModuleType(name.removesuffix(".py"))
    module.__file__ = str(workspace / name)
    sys.modules[module.__name__] = module
    exec(compile((workspace / name).read_text(), str(workspace / name), "exec"), module.__dict__)
    own = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__]
    for encoding in (one for one in own if is_dataclass(one) and hasattr(one, "build")):
        check_encoding(encoding).require()
    for predictor in (one for one in own if is_dataclass(one) and hasattr(one, "predict")):
        require_predictor(predictor, name)
        problem = make_problem()
        values = values_of_predictor(cast("Predictor", predictor()), problem, masks_of(problem, 3))
        assert len(set(values.tolist())) == 3
    for strategy in (one for one in own if is_dataclass(one) and hasattr(one, "search")):
        report = check_strategy(strategy)
        report.require()
        said: dict[str, Any] = {result.name: result for result in report.results}
        assert {result.state for result in report.results} == {"passed"}
        assert said["granularities"].message == "channel searched; 2:4 searched"


def test_the_study_of_the_pages_is_a_study(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "study.toml", tmp_path)
    study = read_study(tmp_path / "study.toml")
    assert [len(grid.strategies) for grid in study.grids] == [3, 2]


def test_the_batch_script_starts_the_command_on_the_cluster(workspace: Path, tmp_path: Path) -> None:
    """There is no Slurm here: its commands are stood for by ones that do what its manual says."""
    stubs = {
        "scontrol": "echo head; echo other",
        "srun": 'exec "$@"',
        "ray": 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
        "ticketsearch": 'echo "$@" > said',
    }
    for stub, body in stubs.items():
        (tmp_path / stub).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / stub).chmod(0o755)
    own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "head,other", "SLURM_NNODES": "2"}
    script = ["bash", str(workspace / "slurm.sbatch")]
    subprocess.run(script, env=os.environ | own | {"SLURM_CPUS_PER_TASK": "4"}, cwd=tmp_path, check=True)
    assert (
        tmp_path / "said"
    ).read_text() == "compare study.toml --executor ray --ray-address auto --out /shared/runs\n"

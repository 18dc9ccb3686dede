"""Files written by export, read back by the libraries their users have, against the masked network."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import prune

import ticketsearch
from tests.helpers import tiny
from tests.helpers.commands import Cli, python
from tests.helpers.runs import folder_of, run
from ticketsearch import Ticket, export, load_ticket
from ticketsearch.errors import InvalidValue, NotARun, TicketsearchError, UnknownName
from ticketsearch.exporting import FORMATS, Latency, formats
from ticketsearch.exporting.timing import interleaved, medians
from ticketsearch.records.folder import TICKET
from ticketsearch.records.ticket_file import save_ticket

TASK = ("--task", "tests.helpers.tiny:task")

ONCE = Latency(repeats=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One-shot magnitude at 85 %: few of 12 and 10 neurons are left."""
    out = tmp_path_factory.mktemp("runs")
    run(out, strategy="magnitude", sparsity=0.85, budget="20ep", engine="dense")
    return folder_of(out)


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def scores_of(folder: Path, inputs: Tensor, *, trained: bool = True) -> Tensor:
    """The masked network's, by NumPy: three matrices and two rectifiers."""
    state = load_ticket(folder).state_dict(trained=trained)
    values = inputs.numpy().astype(np.float64)
    for name in ("hidden1", "hidden2", "output"):
        values = values @ state[f"{name}.weight"].T.astype(np.float64) + state[f"{name}.bias"]
        values = values if name == "output" else np.maximum(values, 0)
    return torch.from_numpy(values)


def dead_neurons(folder: Path) -> int:
    """Parameters that are left when neurons that depend on no input, and those nobody reads, are gone; by hand."""
    state = load_ticket(folder).state_dict(trained=True)
    one, two, three = (state[f"{name}.weight"] != 0 for name in ("hidden1", "hidden2", "output"))
    first = one.any(1)
    second = two[:, first].any(1) & three.any(0)
    first &= two[second].any(0)
    a, b = int(first.sum()), int(second.sum())
    return tiny.INPUTS * a + a + a * b + b + b * tiny.CLASSES + tiny.CLASSES


def test_a_state_dict_holds_zeros(finished: Path, tmp_path: Path) -> None:
    before = content_of(finished)
    for name, read in (("a.safetensors", load_file), ("a.pt", lambda path: torch.load(path, weights_only=True))):
        found = export(finished, tmp_path / name, format="state-dict", task=tiny.make_task(), latency=ONCE)
        state = read(tmp_path / name)
        network = tiny.NETWORK()
        network.load_state_dict(state)
        mask = load_ticket(finished).masks()["hidden1.weight"]
        assert not state["hidden1.weight"][torch.from_numpy(~mask)].any()
        inputs = tiny.blobs(50, 9).inputs
        assert torch.allclose(network(inputs).double(), scores_of(finished, inputs), atol=1e-5)
        assert (found.difference, found.format, found.weights, found.notes) == (0, "state-dict", "trained", ())
        assert found.parameters == (8 * 12 + 12 + 12 * 10 + 10 + 30 + 3,) * 2
        assert found.flops == (2 * tiny.SIZE,) * 2
        assert found.bytes == (tmp_path / name).stat().st_size
    assert content_of(finished) == before


def test_start_weights_are_exported_on_request(finished: Path, tmp_path: Path) -> None:
    export(finished, tmp_path / "a", format="state-dict", task=tiny.make_task(), start=True, latency=ONCE)
    network = tiny.NETWORK()
    network.load_state_dict(load_file(tmp_path / "a"))
    inputs = tiny.blobs(50, 9).inputs
    assert torch.allclose(network(inputs).double(), scores_of(finished, inputs, trained=False), atol=1e-5)


def test_torch_prune_finds_its_buffers(finished: Path, tmp_path: Path) -> None:
    export(finished, tmp_path / "a.safetensors", format="torch-prune", task=tiny.make_task(), latency=ONCE)
    network: Any = tiny.NETWORK()
    masks = load_ticket(finished).masks()
    for part in (network.hidden1, network.hidden2, network.output):
        prune.identity(part, "weight")  # type: ignore[no-untyped-call]
    network.load_state_dict(load_file(tmp_path / "a.safetensors"))
    inputs = tiny.blobs(50, 9).inputs
    assert torch.allclose(network(inputs).double(), scores_of(finished, inputs), atol=1e-5)
    assert torch.equal(network.hidden2.weight_mask, torch.from_numpy(masks["hidden2.weight"]).float())
    prune.remove(network.hidden2, "weight")  # type: ignore[no-untyped-call]
    assert int((network.hidden2.weight != 0).sum()) == int(masks["hidden2.weight"].sum())


def test_the_compact_program_needs_nothing_of_ours(finished: Path, tmp_path: Path) -> None:
    found = export(finished, tmp_path / "a.pt2", task=tiny.make_task(), latency=ONCE)
    assert found.parameters[1] == dead_neurons(finished) < 0.8 * found.parameters[0]
    assert 0 <= found.difference <= 1e-5
    inputs = tiny.blobs(50, 9).inputs
    torch.save(inputs, tmp_path / "inputs.pt")
    code = (
        "import sys, torch\n"
        f"program = torch.export.load({str(tmp_path / 'a.pt2')!r}).module()\n"
        f"inputs = torch.load({str(tmp_path / 'inputs.pt')!r}, weights_only=True)\n"
        "assert 'ticketsearch' not in sys.modules\n"
        "assert program(inputs[:1]).shape == (1, 3)\n"
        f"torch.save(program(inputs).detach(), {str(tmp_path / 'scores.pt')!r})"
    )
    outcome = python("-c", code, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert torch.allclose(torch.load(tmp_path / "scores.pt").double(), scores_of(finished, inputs), atol=1e-5)


def test_onnx_runtime_computes_the_same(finished: Path, tmp_path: Path) -> None:
    found = export(finished, tmp_path / "a.onnx", format="onnx", task=tiny.make_task(), latency=ONCE)
    assert (found.runtime, found.parameters[1]) == ("onnxruntime", dead_neurons(finished))
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 50):
        inputs = tiny.blobs(count, 9).inputs
        [scores] = session.run(["scores"], {"input": inputs.numpy()})
        assert np.abs(scores - scores_of(finished, inputs).numpy()).max() <= 1e-4


@pytest.mark.parametrize("file_format", ["compact", "onnx"])
def test_convolutions_and_statistics_are_exported(tmp_path: Path, file_format: str) -> None:
    """BatchNorm with the statistics of the ticket's training, against the ticket applied to a fresh network."""
    task = tiny.make_task(network=tiny.batch_norm_network)
    result = ticketsearch.run("magnitude", task, sparsity=0.6, budget="10ep", orders=1, checkpoints=0, out=tmp_path)
    export(result.run, tmp_path / "network", format=file_format, task=task, latency=ONCE)
    network = load_ticket(result.run).apply(tiny.batch_norm_network(), trained=True).eval()
    read = {"compact": formats.program_of, "onnx": formats.onnx_of}[file_format]
    inputs = tiny.blobs(50, 9).inputs
    with torch.no_grad():
        found, wanted = read((tmp_path / "network").read_bytes())(inputs), network(inputs)
    assert float((found - wanted).abs().max()) <= 1e-5


def test_the_command_prints_a_table_or_json(cli: Cli, finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "network.pt2"
    plain = cli("export", finished, "--output", target, *TASK)
    assert (plain.code, plain.err) == (0, "")
    assert [word in plain.out for word in ("parameters", "FLOPs of one example", "ms for 64, one thread")] == [True] * 3
    assert f"wrote {target} ({target.stat().st_size} bytes, compact, trained weights)" in plain.out
    found = json.loads(
        cli(
            "export", finished, "--output", target, "--force", *TASK, "--json", "--batch", 8, "--format", "state-dict"
        ).out
    )
    assert (found["batch"], found["format"], found["run"]) == (8, "state-dict", str(finished))
    assert all(milliseconds > 0 for milliseconds in found["latency_ms"])
    assert set(load_file(target)) == set(tiny.NETWORK().state_dict())


def test_zeros_alone_save_nothing_and_that_is_said(cli: Cli, finished: Path, tmp_path: Path) -> None:
    outcome = cli("export", finished, "--output", tmp_path / "a", *TASK, "--format", "state-dict")
    assert outcome.out.splitlines()[-1] == "zeros are stored and multiplied by like any number"


def test_what_exists_is_not_overwritten(cli: Cli, finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.pt2"
    target.write_text("mine")
    outcome = cli("export", finished, "--output", target, *TASK)
    assert outcome.code == 2
    assert outcome.err == f"ticketsearch: error: {target} exists; name another file, or overwrite it with --force\n"
    assert target.read_text() == "mine"
    assert "is a folder; name a file" in cli("export", finished, "--output", tmp_path, "--force", *TASK).err


def test_bad_input_is_refused(cli: Cli, finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "a"
    unknown = cli("export", finished, "--output", target, *TASK, "--format", "pickle")
    assert (unknown.code, "unknown format 'pickle'; known: state-dict, torch-prune, onnx, compact" in unknown.err) == (
        2,
        True,
    )
    with pytest.raises(UnknownName, match=r"unknown task 'tiny'.*if it is your own, say where: --task"):
        export(finished, target)
    with pytest.raises(InvalidValue, match="other data or another recipe than the run's"):
        export(finished, target, task=tiny.make_task(fidelity=11))
    with pytest.raises(InvalidValue, match="batch 0 is not between 1 and 100000"):
        export(finished, target, task=tiny.make_task(), latency=Latency(0))
    with pytest.raises(NotARun, match="holds no finished run"):
        export(tmp_path, target)
    assert not target.exists()


def test_frozen_weights_fit_some_formats(finished: Path, tmp_path: Path) -> None:
    """Pruned weights held at other values than zero: a state dict holds them, torch.nn.utils.prune cannot."""
    saved, folder = load_ticket(finished), tmp_path / finished.name
    folder.mkdir()
    for name, data in content_of(finished).items():
        (folder / name).write_bytes(data)
    layout = tiny.dense_engine(tiny.make_task()).layout
    held = np.full(saved.mask.size, 0.01, dtype=np.float32)
    ticket = Ticket(saved.mask, saved.start, held=held).started(saved.start)
    save_ticket(folder / TICKET, ticket, layout.space, saved.trained, layout.rest_shapes)
    export(folder, tmp_path / "a", format="state-dict", task=tiny.make_task(), latency=ONCE)
    assert int((load_file(tmp_path / "a")["hidden1.weight"] == 0.01).sum()) == int(
        (~saved.masks()["hidden1.weight"]).sum()
    )
    assert export(folder, tmp_path / "b", task=tiny.make_task(), latency=ONCE).parameters[1] > dead_neurons(finished)
    with pytest.raises(InvalidValue, match="holds pruned weights at values other than zero"):
        export(folder, tmp_path / "c", format="torch-prune", task=tiny.make_task())


class Branching(nn.Module):
    """What it does depends on the values it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(tiny.INPUTS, tiny.CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.only(x)
        return result if float(result.sum()) > 1e9 else result * 2


def test_a_network_without_a_graph_is_one_line() -> None:
    with pytest.raises(InvalidValue, match=r"cannot be exported as compact .*; --format state-dict always can"):
        formats.program_bytes(Branching().eval(), torch.zeros(2, tiny.INPUTS))


def test_a_file_that_would_differ_is_not_written(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "program_of", lambda data: lambda inputs: torch.zeros(len(inputs), 3))
    with pytest.raises(TicketsearchError, match=r"scores would differ by up to .* was not written"):
        export(finished, tmp_path / "a", task=tiny.make_task())
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_extra_is_named(
    cli: Cli, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == missing:
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    outcome = cli("export", finished, "--output", tmp_path / "a", *TASK, "--format", "onnx")
    assert outcome.code == 2
    needs = f"--format onnx needs {missing}, which is not installed; pip install 'ticketsearch[onnx]'"
    assert outcome.err == f"ticketsearch: error: {needs}\n"


def test_the_formats_in_the_help_are_all(cli: Cli) -> None:
    assert all(name in cli("export", "--help").out for name in FORMATS)


def test_latencies_alternate() -> None:
    calls: list[str] = []
    threads = torch.get_num_threads()
    times = interleaved([lambda: calls.append("a"), lambda: calls.append("b")], repeats=3, warm_up=1)
    assert "".join(calls) == "ab" * 4
    assert [len(one) for one in times] == [3, 3]
    assert medians([[3.0, 1.0, 8.0], [2.0]]) == [3.0, 2.0]
    assert torch.get_num_threads() == threads

"""What physical removal of channels saves: ResNet-20 with half of its channels, side by side with the dense one.

    python benchmarks/compact.py

Masks leave half of the channels of every layer of ResNet-20 (He et al., arXiv:1512.03385, CIFAR, shortcuts of option
A): inner ones drawn for each block, the residual stream's for each stage. Four networks take turns on the same batch:
dense, dense with the zeros of the masks, with as many zeros spread over single weights, and cut. A fifth is cut by
masks that leave other channels of a stream in each of its layers, as ``--granularity channel`` does. Speed does not
depend on the values, so the weights are drawn. Checks that cut and masked agree to 1e-5, and writes every single time
to ``benchmarks/results/compact.json``, what concerns the fifth under ``each_layer``.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    from benchmarks import machine
    from tests.helpers.channel_networks import ResNet, half_masks, layer_masks, trained
    from ticketsearch import compact, follow_masks
    from ticketsearch.exporting.timing import interleaved, medians

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.Generator(np.random.PCG64(arguments.seed))
    inputs = torch.from_numpy(rng.normal(size=(arguments.batch, 3, 32, 32)).astype(np.float32))
    dense = trained(ResNet(), arguments.seed)
    masks = follow_masks(dense, half_masks(dense, arguments.seed), example=inputs[:2])
    cut = compact(dense, masks, example=inputs[:2])
    masked, scattered = copy.deepcopy(dense), copy.deepcopy(dense)
    with torch.no_grad():
        for name, mask in masks.items():
            masked.get_parameter(name).mul_(torch.from_numpy(mask))
            if mask.ndim > 1:
                scattered.get_parameter(name).mul_(
                    torch.from_numpy(rng.permutation(mask.reshape(-1)).reshape(mask.shape))
                )
    with torch.inference_mode():
        wanted, found = masked(inputs), cut.module(inputs)
    difference = float((wanted - found).abs().max())
    assert difference <= 1e-5 * max(1.0, float(wanted.abs().max())), difference
    other_masks = follow_masks(dense, layer_masks(dense, arguments.seed), example=inputs[:2])
    other = compact(dense, other_masks, example=inputs[:2])
    assert other.difference <= 1e-5 * max(1.0, float(wanted.abs().max())), other.difference
    networks: dict[str, nn.Module] = {
        "dense": dense,
        "channels zero": masked,
        "single weights zero": scattered,
        "channels cut": cut.module,
        "each layer's cut": other.module,
    }
    times = interleaved([lambda one=one: one(inputs) for one in networks.values()], arguments.repeats)  # type: ignore[misc]
    middle = dict(zip(networks, medians(times), strict=True))
    print(f"parameters {cut.parameters[0]} -> {cut.parameters[1]}, FLOPs {cut.flops[0]} -> {cut.flops[1]}")
    print(f"each layer's: parameters {other.parameters[1]}, FLOPs {other.flops[1]}")
    print(f"| ResNet-20, batch {arguments.batch}, one thread | ms | dense / it |\n|---|---:|---:|")
    for name, milliseconds in middle.items():
        print(f"| {name} | {milliseconds:.1f} | {middle['dense'] / milliseconds:.2f} |")
    document = {
        "machine": machine.describe(),
        "batch": arguments.batch,
        "seed": arguments.seed,
        "parameters": cut.parameters,
        "flops_per_example": cut.flops,
        "difference": difference,
        "median_ms": middle,
        "speedup": middle["dense"] / middle["channels cut"],
        "each_layer": {
            "parameters": other.parameters,
            "flops_per_example": other.flops,
            "difference": other.difference,
            "speedup": middle["dense"] / middle["each layer's cut"],
        },
        "ms": dict(zip(networks, times, strict=True)),
    }
    (RESULTS / "compact.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()

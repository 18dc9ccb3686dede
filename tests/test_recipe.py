from __future__ import annotations

from typing import Any

import pytest
import torch

from ticketsearch.errors import InvalidValue
from ticketsearch.recipe import Recipe


def rates(recipe: Recipe) -> list[float]:
    return [recipe.learning_rate_at(step) for step in range(recipe.steps)]


def torch_rates(recipe: Recipe, schedule: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.learning_rate)
    scheduler = schedule(optimizer)
    seen = []
    for _ in range(recipe.steps):
        seen.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return seen


def test_schedules_are_those_of_torch() -> None:
    schedulers = torch.optim.lr_scheduler
    peers = {
        "constant": lambda o: schedulers.ConstantLR(o, 1.0),
        "cosine": lambda o: schedulers.CosineAnnealingLR(o, T_max=40),
        "linear": lambda o: schedulers.LinearLR(o, 1.0, 0.0, total_iters=40),
        "step": lambda o: schedulers.MultiStepLR(o, [20, 30], gamma=0.1),
    }
    for schedule, peer in peers.items():
        recipe = Recipe(steps=40, batch_size=1, learning_rate=0.3, schedule=schedule)  # type: ignore[arg-type]
        assert rates(recipe) == pytest.approx(torch_rates(recipe, peer), abs=1e-9)


def test_warm_up_rises_linearly_to_the_schedule() -> None:
    recipe = Recipe(steps=20, batch_size=1, learning_rate=0.8, warmup_steps=4)
    assert rates(recipe)[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


def test_a_shorter_recipe_squeezes_the_whole_schedule() -> None:
    recipe = Recipe(steps=100, batch_size=1, learning_rate=1.0, schedule="cosine", warmup_steps=10)
    short = recipe.lasting(50)
    assert (short.steps, short.warmup_steps) == (50, 5)
    assert short.learning_rate_at(25) == pytest.approx(recipe.learning_rate_at(50))
    assert recipe.lasting(100) == recipe


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", -1),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("optimizer", "lbfgs"),
        ("momentum", 1.0),
        ("nesterov", True),
        ("weight_decay", -1e-4),
        ("betas", (0.9, 1.0)),
        ("epsilon", 0.0),
        ("schedule", "cyclic"),
        ("warmup_steps", -1),
    ],
)
def test_values_out_of_range_are_refused_by_name(name: str, value: object) -> None:
    given: dict[str, Any] = {"steps": 10, "batch_size": 1, "learning_rate": 0.1, name: value}
    with pytest.raises(InvalidValue, match=name):
        Recipe(**given)

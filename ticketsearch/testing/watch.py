"""Noticing computation that nobody paid for: passes made while no verb of the problem is at work.

Seen are engines called directly, PyTorch modules called, backward passes, optimisers stepped, and the products (matrix
products, convolutions) that PyTorch computes on the calling thread; the problem's private parts being read, too, since
that is where data and engine are. Not seen is arithmetic written out in NumPy on data of the strategy's own.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ticketsearch.engine.dense.engine import DenseEngine
from ticketsearch.engine.sparse.convnet import MixedEngine, SparseConvEngine
from ticketsearch.engine.sparse.perceptron import SparseEngine
from ticketsearch.problem import MaskProblem

_JOBS = ("train", "train_relaxed", "evaluate")
_DERIVATIVES = ("gradients", "hessian_gradient", "hessian_product")
_PROBES = ("synaptic_flow", "ntk_sensitivity", "tangent_kernel", "activation_patterns", "ntk_change")


class Watch:
    """What was computed outside the verbs.

    Attributes:
        flops: floating-point operations of products and of engines called directly.
        passes: what was called how often: ``module calls``, ``backward passes``, ``optimizer steps``, ``engine calls``.
        private: attributes of the problem that were read and should not have been.
    """

    def __init__(self) -> None:
        self.flops = 0
        self.passes: dict[str, int] = {}
        self.private: set[str] = set()
        self._paused = 0
        self._thread = threading.get_ident()

    @property
    def active(self) -> bool:
        """Whether no verb is at work."""
        return self._paused == 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A verb is at work: it has paid."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    def paused_while(self, training: Iterator[Any]) -> Iterator[Any]:
        """A training, each stretch of which has paid."""
        while True:
            with self.paused():
                snapshot = next(training, None)
            if snapshot is None:
                return
            yield snapshot

    def saw(self, what: str, flops: int = 0) -> None:
        """Count a call, unless a verb made it."""
        if self.active:
            self.passes[what] = self.passes.get(what, 0) + 1
            self.flops += flops

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch a block, on this thread and, as far as modules, engines and optimisers go, on others."""
        with ExitStack() as stack:
            modules = register_module_forward_pre_hook(lambda *_: self.saw("module calls"))
            stack.callback(modules.remove)
            optimizers = register_optimizer_step_pre_hook(lambda *_: self.saw("optimizer steps"))
            stack.callback(optimizers.remove)
            for name in ("backward", "grad"):
                wrapped = self._counted("backward passes", getattr(torch.autograd, name))
                stack.enter_context(mock.patch.object(torch.autograd, name, wrapped))
            for engine in (DenseEngine, SparseEngine, SparseConvEngine, MixedEngine):
                for name in (*_JOBS, *_DERIVATIVES, *_PROBES, "measure"):
                    stack.enter_context(mock.patch.object(engine, name, self._engine_method(getattr(engine, name))))
            stack.enter_context(_Products(self))
            yield

    def _counted(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            self.saw(what)
            return function(*args, **kwargs)

        return counting

    def _engine_method(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def counting(engine: Any, *args: Any, **kwargs: Any) -> Any:
            self.saw("engine calls", _engine_flops(method.__name__, engine, args))
            with self.paused():  # counted as a whole
                return method(engine, *args, **kwargs)

        return counting

    def problem_type(self) -> type[MaskProblem]:
        """A problem that tells this watch when a verb is at work and when its private parts are read."""
        watch = self

        class WatchedProblem(MaskProblem):
            def evaluate(self, *args: Any, **kwargs: Any) -> Any:
                with watch.paused():
                    return super().evaluate(*args, **kwargs)

            def validate(self, *args: Any, **kwargs: Any) -> Any:
                with watch.paused():
                    return super().validate(*args, **kwargs)

            def gradients(self, *args: Any, **kwargs: Any) -> Any:
                with watch.paused():
                    return super().gradients(*args, **kwargs)

            def hessian_gradient(self, *args: Any, **kwargs: Any) -> Any:
                with watch.paused():
                    return super().hessian_gradient(*args, **kwargs)

            def synaptic_flow(self, *args: Any, **kwargs: Any) -> Any:
                with watch.paused():
                    return super().synaptic_flow(*args, **kwargs)

            def ntk_sensitivity(self, *args: Any, **kwargs: Any) -> Any:
                with watch.paused():
                    return super().ntk_sensitivity(*args, **kwargs)

            def hessian_product(self, *args: Any, **kwargs: Any) -> Any:
                with watch.paused():
                    return super().hessian_product(*args, **kwargs)

            def tangent_kernel(self, *args: Any, **kwargs: Any) -> Any:
                with watch.paused():
                    return super().tangent_kernel(*args, **kwargs)

            def activation_patterns(self, *args: Any, **kwargs: Any) -> Any:
                with watch.paused():
                    return super().activation_patterns(*args, **kwargs)

            def ntk_change(self, *args: Any, **kwargs: Any) -> Any:
                with watch.paused():
                    return super().ntk_change(*args, **kwargs)

            def train(self, *args: Any, **kwargs: Any) -> Any:
                return watch.paused_while(super().train(*args, **kwargs))

            def train_relaxed(self, *args: Any, **kwargs: Any) -> Any:
                return watch.paused_while(super().train_relaxed(*args, **kwargs))

            def __getattribute__(self, name: str) -> Any:
                if name.startswith("_") and not name.startswith("__"):
                    caller = str(sys._getframe(1).f_globals.get("__name__", ""))
                    if caller.partition(".")[0] != "ticketsearch":
                        watch.private.add(name)
                return super().__getattribute__(name)

        return WatchedProblem


def _engine_flops(name: str, engine: Any, args: Sequence[Any]) -> int:
    """What an engine's method will compute, at dense prices."""
    passes = 1
    if name in _JOBS and args:
        job = args[0]
        passes = 3 * len(job.masks) * job.steps * job.recipe.batch_size
    elif name in _DERIVATIVES and len(args) > 1:
        passes = 3 * len(args[1])
    elif name == "ntk_sensitivity" and len(args) > 2:
        passes = 6 * int(args[2])
    elif name == "ntk_change" and len(args) > 3:
        passes = 2 * int(args[3])
    elif name == "tangent_kernel" and len(args) > 2:
        passes = 3 * len(args[2]) ** 2
    elif name == "activation_patterns" and len(args) > 1:
        passes = len(args[1])
    elif name == "measure" and len(args) > 1:
        passes = len(args[0].vector) * len(args[1].labels)
    return passes * int(engine.layout.space.flops_per_example())


class _Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the products computed on this thread outside verbs."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watch = watch

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """As in :mod:`ticketsearch.tasks.products`."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._watch.active:
            count = flop_registry.get(func._overloadpacket)
            if count is not None:
                self._watch.flops += int(count(*args, **(kwargs or {}), out_val=result))
        return result

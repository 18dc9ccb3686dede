"""Layers that something else uses as well, and so cannot be cut by what their own calls need."""

from __future__ import annotations

from typing import Any

from ticketsearch.compaction.tracing import Traced


def shared_layers(traced: Traced) -> set[str]:
    """Names of modules whose parameters other modules, or the graph by itself, use; and of those inside a called one.

    A module that is registered under two names is one module.
    """
    names: dict[int, set[str]] = {}
    users: dict[int, set[object]] = {}
    for name, part in traced.module.named_modules(remove_duplicate=False):
        names.setdefault(id(part), set()).add(name)
        for parameter in part.parameters(recurse=False):
            users.setdefault(id(parameter), set()).add(id(part))
    inside = set()
    for node in traced.graph.nodes:
        if node.op == "get_attr":
            found: Any = traced.module
            for step in str(node.target).split("."):
                found = getattr(found, step)
            users.setdefault(id(found), set()).add(node.target)
        elif node.op == "call_module":
            called = traced.module.get_submodule(str(node.target))
            inside |= {id(part) for part in called.modules()} - {id(called)}
    shared = {one for own in users.values() if len(own) > 1 for one in own} | inside
    return {name for one in shared if isinstance(one, int) for name in names.get(one, ())}

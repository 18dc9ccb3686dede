"""Faults that importing a plug-in would run into, read from its source text: nothing is imported, nothing is run.

Looked at is what a module does unconditionally at its top level, and likewise the modules of its own package that it
imports: syntax errors, imports of what is not installed, ``raise``, the end of the process, loops without an end; then
the registered class: its methods, signature, version. What hides deeper is found by ``strategies check``, which
imports. No fault found here is a promise that there is none.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path

from ticketsearch.plugins.interface import ATTRIBUTE, Fault, version_fault

LONG_SLEEP_S = 5
DEPTH = 4
"""Calls of the module's own functions, and imports of names, that are followed."""
_ROLE = re.compile(r"(?::[\w:]+:`~?|``)([^`]+)``?")
"""Markup of docstrings: a name in a role, or code."""
_EXITS = {"sys.exit", "exit", "quit", "os._exit", "os.abort"}


def static_fault(module: str, attribute: str, *, strategy: bool = True) -> Fault | None:
    """What is wrong with ``module:attribute``, as far as its source tells."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        fault = _module_fault(".".join(parts[:length]), parts[0])
        if fault:
            return fault
    return _attribute_fault(module, attribute.partition(".")[0], DEPTH) if strategy else None


def purpose_of(module: str, attribute: str) -> str:
    """The first sentence of what an object's source says it does; empty if it says nothing there."""
    tree = _tree(module)
    for statement in tree.body if isinstance(tree, ast.Module) else ():
        named = isinstance(statement, ast.ClassDef | ast.FunctionDef) and statement.name == attribute
        if named and isinstance(statement, ast.ClassDef | ast.FunctionDef):
            text = " ".join((ast.get_docstring(statement) or "").partition("\n\n")[0].split())
            text = _ROLE.sub(lambda found: found[1].rpartition(".")[2] if found[0][0] == ":" else found[1], text)
            return re.split(r"(?<=[.])\s", text)[0].rstrip(".")
    return ""


@lru_cache(maxsize=256)
def find_module(module: str) -> ModuleSpec | None:
    """Where a module is, without importing its parents; ``None``: nowhere."""
    parent, _, _ = module.rpartition(".")
    if not parent:
        try:
            return importlib.util.find_spec(module)
        except (ValueError, ImportError):
            return ModuleSpec(module, None)  # it is there, in some form
    above = find_module(parent)
    if above is None or above.submodule_search_locations is None:
        return None if above is None or above.loader is not None else ModuleSpec(module, None)
    for finder in sys.meta_path:
        found = finder.find_spec(module, above.submodule_search_locations)
        if found is not None:
            return found
    return None


@lru_cache(maxsize=256)
def _tree(module: str) -> ast.Module | Fault | None:
    """A module's source; ``None`` if it is not written in Python or not there."""
    spec = find_module(module)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    try:
        return ast.parse(Path(spec.origin).read_bytes(), spec.origin)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        reason = f"{type(error).__name__}: {getattr(error, 'msg', error)} ({Path(spec.origin).name}:{line or '?'})"
        return Fault("broken", reason)
    except OSError:
        return None


def forget() -> None:
    """Files may have changed: read them again."""
    find_module.cache_clear()
    _tree.cache_clear()


def _module_fault(module: str, package: str, seen: frozenset[str] = frozenset()) -> Fault | None:
    if module in seen:
        return None
    if find_module(module) is None:
        return Fault("broken", f"ModuleNotFoundError: no module named {module!r}")
    tree = _tree(module)
    if tree is None or isinstance(tree, Fault):
        return tree
    for statement in tree.body:
        for imported, names, line in _imports(statement, module):
            fault = _import_fault(imported, names, package, seen | {module})
            if fault:
                return Fault(fault.state, f"{fault.reason} (imported at {module}:{line})")
        reason = _ending(statement, tree, DEPTH)
        if reason:
            return Fault("broken", f"importing it {reason} ({module}:{statement.lineno})")
    return None


def _imports(statement: ast.stmt, module: str) -> Iterator[tuple[str, list[str], int]]:
    """(module, names taken from it, line) of an import statement."""
    if isinstance(statement, ast.Import):
        yield from ((alias.name, [], statement.lineno) for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        names = [alias.name for alias in statement.names]
        yield _absolute(statement, module), names, statement.lineno


def _absolute(statement: ast.ImportFrom, module: str) -> str:
    """The module that ``from x import`` means."""
    if not statement.level:
        return statement.module or ""
    spec = find_module(module)
    is_package = spec is not None and spec.submodule_search_locations is not None
    base = module.split(".")
    base = base[: len(base) - statement.level + int(is_package)]
    return ".".join([*base, *([statement.module] if statement.module else [])])


def _import_fault(module: str, names: list[str], package: str, seen: frozenset[str]) -> Fault | None:
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        part = ".".join(parts[:length])
        if find_module(part) is None:
            return Fault("broken", f"ModuleNotFoundError: no module named {part!r}")
        if parts[0] == package:
            fault = _module_fault(part, package, seen)
            if fault:
                return fault
    if parts[0] in (package, "ticketsearch"):
        tree = _tree(module)
        for name in names if isinstance(tree, ast.Module) else ():
            assert isinstance(tree, ast.Module)
            if not _binds(tree, name) and find_module(f"{module}.{name}") is None:
                return Fault("broken", f"ImportError: cannot import name {name!r} from {module!r}")
    return None


def _binds(tree: ast.Module, name: str) -> bool:
    """Whether a module may have a name: bound anywhere, listed in ``__all__``, or made by a star or ``__getattr__``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name == name or (node.name == "__getattr__" and tree is not _tree("ticketsearch")):
                return True
        elif isinstance(node, ast.Import | ast.ImportFrom):
            if any(alias.name == "*" or (alias.asname or alias.name).partition(".")[0] == name for alias in node.names):
                return True
        elif (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name) or (
            isinstance(node, ast.Constant) and node.value == name
        ):
            return True
    return name.startswith("__")


def _ending(statement: ast.stmt, tree: ast.Module, depth: int) -> str:
    """Why control does not get past a statement; empty if it may."""
    if isinstance(statement, ast.Raise):
        return f"raises {ast.unparse(statement.exc) if statement.exc else 'an exception'}"
    if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Constant) and not statement.test.value:
        return "fails an assertion"
    if isinstance(statement, ast.While) and isinstance(statement.test, ast.Constant) and statement.test.value:
        leaving = (ast.Break, ast.Return, ast.Raise, ast.Yield)
        calls = [ast.unparse(node.func) for node in ast.walk(statement) if isinstance(node, ast.Call)]
        endless = not any(isinstance(node, leaving) for node in ast.walk(statement)) and not _EXITS & set(calls)
        return "never ends: a loop without an end" if endless else ""
    if isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return) and statement.value is not None:
        return _value_ending(statement.value, tree, depth)
    return ""


def _value_ending(value: ast.expr, tree: ast.Module, depth: int) -> str:
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Div | ast.FloorDiv | ast.Mod):
        zero = isinstance(value.right, ast.Constant) and value.right.value == 0
        return "divides by zero" if zero and isinstance(value.left, ast.Constant) else ""
    if not isinstance(value, ast.Call):
        return ""
    name = ast.unparse(value.func)
    if name in _EXITS:
        return f"ends the process: SystemExit, {ast.unparse(value)}"
    if name in ("time.sleep", "sleep") and value.args and isinstance(value.args[0], ast.Constant):
        seconds = value.args[0].value
        if isinstance(seconds, int | float) and seconds >= LONG_SLEEP_S:
            return f"hangs: it sleeps for {seconds:g} s"
    local = next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name), None)
    if local is None or not depth or local.decorator_list:
        return ""
    for statement in local.body:
        reason = _ending(statement, tree, depth - 1)
        if reason:
            return reason
        if any(isinstance(node, ast.Return | ast.Yield) for node in ast.walk(statement)):
            return ""
    return ""


def _attribute_fault(module: str, name: str, depth: int) -> Fault | None:
    tree = _tree(module)
    if not isinstance(tree, ast.Module):
        return tree
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _class_fault(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return Fault("invalid", f"{module}:{name} is a function, not a dataclass with a search(problem) method")
        if isinstance(node, ast.ImportFrom) and depth:
            for alias in node.names:
                origin = _absolute(node, module)
                if (alias.asname or alias.name) == name and origin.partition(".")[0] == module.partition(".")[0]:
                    return _attribute_fault(origin, alias.name, depth - 1)
    if not _binds(tree, name):
        return Fault("invalid", f"AttributeError: module {module!r} has no attribute {name!r}")
    return None


def _class_fault(node: ast.ClassDef) -> Fault | None:
    decorators = [ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list]
    inherits = bool(node.bases or node.keywords)
    search = next((part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "search"), None)
    plain = not inherits and not any(not name.endswith("dataclass") for name in decorators)
    if plain and (not decorators or not any("search" in ast.unparse(part) for part in node.body)):
        return Fault("invalid", f"class {node.name} is not a dataclass with a search(problem) method")
    for part in node.body:
        target = (
            part.targets[0] if isinstance(part, ast.Assign) else part.target if isinstance(part, ast.AnnAssign) else 0
        )
        value = getattr(part, "value", None)
        if isinstance(target, ast.Name) and target.id == ATTRIBUTE and value is not None:
            try:
                fault = version_fault(ast.literal_eval(value))
            except ValueError:
                fault = None
            if fault:
                return fault
    return _signature_fault(search) if search is not None and not search.decorator_list else None


def _signature_fault(search: ast.FunctionDef) -> Fault | None:
    arguments = search.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    named = any(default is None for default in arguments.kw_defaults)
    if required > 2 or (positional < 2 and arguments.vararg is None) or named:
        return Fault("invalid", f"its search({ast.unparse(arguments)}) cannot be called as search(problem)")
    return None

"""The direction of imports, the promises about heavy libraries, and who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import optimizer

ROOT = Path(optimizer.__file__).parent

# The flow of data: a module imports only from layers before its own, or from its own package.
LAYERS = [
    "errors",
    "versions",
    "markup",
    "documents",
    "targets",
    "decisions",
    "proxies",
    "kpis",
    "kpi_tree",
    "functions",
    "preferences",
    "constraints",
    "rules",
    "curves",
    "adstock",
    "kernels_math",
    "kernels_blocks",
    "kernels_curves",
    "kernels_active",
    "kernels_projection",
    "kernels_tables",
    "kernels_terms",
    "kernels_split",
    "kernels_polish",
    "kernels_separable",
    "kernels_attained",
    "kernels_raster",
    "kernels_patterns",
    "kernels_hollows",
    "kernels_accounts",
    "kernels_lanes",
    "kernels_boxes",
    "kernels_search",
    "kernels_batch",
    "kernels_hill",
    "kernels_fit",
    "kernels_lines",
    "kernels",
    "kernels_synergy",
    "synergy",
    "response",
    "delay",
    "written",
    "variants",
    "horizon",
    "stated",
    "scenario",
    "amounts",
    "measured",
    "simulate",
    "tables",
    "risk",
    "plan",
    "volumes",
    "limits",
    "archive",
    "front_certificate",
    "picks",
    "front",
    "solve",
    "budget",
    "changes",
    "differences",
    "regret",
    "compare",
    "explain",
    "reach",
    "lint",
    "evidence",
    "recommend",
    "batch",
    "ledger",
    "audit",
    "next_test",
    "report",
    "terminal",
    "cli_experiment",
    "cli_scorecard",
    "cli_audit",
    "cli_evidence",
    "cli_ledger",
    "cli",
]
COMMANDS = LAYERS[LAYERS.index("terminal") + 1 :]
# What any module may import: for its annotations, and erfc, which numpy has not and numba compiles from math.
STANDARD = {"__future__", "collections", "typing", "math"}
HEAVY = ["numba", "cvxpy", "pymoo", "xarray", "altair", "pandera", "statsmodels", "sklearn", "ruptures"]
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def layer(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def for_types_only(node: ast.AST) -> bool:
    test = node.test if isinstance(node, ast.If) else None
    names = [test.id] if isinstance(test, ast.Name) else [test.attr] if isinstance(test, ast.Attribute) else []
    return names == ["TYPE_CHECKING"]


def imports(tree: ast.AST, package: tuple[str, ...], at_import: bool = False) -> set[str]:
    """Full names of all modules a tree imports, those for type checkers excepted.

    Parameters
    ----------
    package : tuple of str
        The package the tree's module is in, for relative imports.
    at_import : bool
        Leave out what only runs when a function is called.
    """
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if for_types_only(node):
            for branch in node.orelse:
                found |= imports(ast.Module([branch], []), package, at_import)
            continue
        if at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            # ``from . import a``: each name may be a module.
            found |= {f"{module}.{alias.name}" for alias in node.names}
        else:
            found |= imports(node, package, at_import)
    return found


def package_of(path: Path) -> tuple[str, ...]:
    return ("optimizer", *path.parts[:-1])


def own(names: set[str]) -> set[str]:
    """The layers of this package among imported names; the package itself is ``""``."""
    parts = [name.split(".") for name in names if name.split(".")[0] == "optimizer"]
    return {part[1] if len(part) > 1 else "" for part in parts}


def test_every_module_has_a_layer():
    assert {layer(path) for path in MODULES} <= set(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_go_down_the_flow_of_data(path):
    here = layer(path)
    allowed = {*LAYERS[: LAYERS.index(here)], here}
    used = own(imports(parsed(path), package_of(path)))
    assert used <= allowed, f"{path} imports {sorted(used - allowed)}"


@pytest.mark.parametrize("path", [path for path in MODULES if path.name.startswith("kernels")], ids=str)
def test_kernels_import_numpy_and_numba_alone(path):
    used = imports(parsed(path), ("optimizer",))
    assert {name.split(".")[0] for name in used} - STANDARD - {"optimizer"} == {"numpy", "numba"}
    assert all(name.startswith("kernels") for name in own(used))


def test_nothing_imports_the_command_line_and_only_it_imports_the_report():
    for path in MODULES:
        used = own(imports(parsed(path), package_of(path)))
        if layer(path) != "cli":
            assert not used & set(COMMANDS), path
        if layer(path) not in (*COMMANDS, "terminal", "report"):
            assert "report" not in used, path


def test_the_package_itself_brings_only_public_names():
    used = own(imports(parsed(Path("__init__.py")), ("optimizer",)))
    assert not used & {*COMMANDS, "terminal", "report", ""}


def test_heavy_libraries_are_not_imported_at_the_top():
    # Kernels and the solver's own files are themselves imported late.
    for path in MODULES:
        used = {name.split(".")[0] for name in imports(parsed(path), package_of(path), at_import=True)}
        if not layer(path).startswith("kernels") and layer(path) not in ("solve", "report"):
            assert not used & set(HEAVY), path


def test_importing_the_package_loads_no_heavy_library():
    code = f"import sys, optimizer; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert found.stderr == ""


def test_public_names_are_there():
    assert sorted(set(optimizer.__all__)) == sorted(optimizer.__all__)
    for name in optimizer.__all__:
        assert getattr(optimizer, name) is not None
    assert {"Scenario", "Plan", "Front", "simulate", "solve", "frontier", "SpecError"} <= set(optimizer.__all__)


# The checker must be able to fail


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import optimizer.cli", {"cli"}),
        ("import optimizer", {""}),
        ("from optimizer import cli", {"cli"}),
        ("from .cli import main", {"cli"}),
        ("from . import cli, errors", {"cli", "errors"}),
        ("def f():\n    from .report import html", {"report"}),
        ("if TYPE_CHECKING:\n    from .cli import main\nelse:\n    from .front import Front", {"front"}),
        ("import typing as t\nif t.TYPE_CHECKING:\n    from .cli import main", set()),
        ("try:\n    from .plan import Plan\nexcept ImportError:\n    pass", {"plan"}),
        ("class A:\n    def f(self):\n        if True:\n            import optimizer.solve.convex", {"solve"}),
        ("if NOT_TYPE_CHECKING:\n    from .cli import main", {"cli"}),
    ],
)
def test_the_checker_sees_imports(text, found):
    assert own(imports(ast.parse(text), ("optimizer",))) == found


def test_the_checker_resolves_packages():
    assert own(imports(ast.parse("from ..errors import A"), ("optimizer", "solve"))) == {"errors"}
    assert own(imports(ast.parse("from .problem import A\nfrom . import polish"), ("optimizer", "solve"))) == {
        "solve"
    }
    assert own(imports(ast.parse("from .. import kpis"), ("optimizer", "solve"))) == {"kpis"}

"""What the design says of the code as a whole: who may import whom, and that no machine is written into it."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "qinsight"
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))
HEAVY = {"torch", "transformers", "gradio", "peft", "bitsandbytes"}
MAY_BE_HEAVY = {"engine", "weights"}

# The layers of the package, lowest first: a module imports only what stands before it.
ORDER = [
    [
        "__init__",
        "errors",
        "terminal",
        "keeping",
        "prompts",
        "photo_child",
        "photo_colour",
        "photo_files",
        "jpeg",
        "photo_raw",
        "photos",
    ],
    ["requests", "views", "answers", "rows", "listing"],
    ["odds", "checkpoint", "png", "endpoint_dialect", "endpoint_events", "endpoint_turns"],
    ["endpoint_reply", "endpoint_server", "weights"],
    ["engine", "endpoint"],
    ["assess"],
    ["folder", "report"],
    ["export", "contact_sheet", "xmp", "sidecars", "embedding", "picks", "flags"],
    ["__main__"],
]


def imported(path: Path, *, everywhere: bool = False) -> set[str]:
    """Names of the modules a file imports at its top, or everywhere in it; ours as `qinsight.module`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else tree.body
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are written out"
            module = node.module or ""
            found |= {f"qinsight.{name.name}" for name in node.names} if module == "qinsight" else {module}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_only_the_engine_and_its_weights_load_torch(module: str) -> None:
    heavy = {name.split(".")[0] for name in imported(PACKAGE / f"{module}.py")} & HEAVY
    assert not heavy or module in MAY_BE_HEAVY


def test_the_engine_and_its_weights_do_load_torch() -> None:
    """Or the test above would show nothing."""
    for module in MAY_BE_HEAVY:
        assert "torch" in imported(PACKAGE / f"{module}.py")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_nothing_above_it(module: str) -> None:
    place = {name: layer for layer, names in enumerate(ORDER) for name in names}
    assert module in place, f"give {module}.py its place in ORDER"
    for name in imported(PACKAGE / f"{module}.py"):
        if name.startswith("qinsight."):
            other = name.split(".")[1]
            assert place.get(other, 99) <= place[module], f"{module} imports {other}"


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("errors", set()),
        ("prompts", set()),
        ("requests", {"prompts"}),
        ("views", {"errors"}),
        ("answers", {"errors", "prompts"}),
    ],
)
def test_questions_and_answers_stand_on_almost_nothing(module: str, allowed: set[str]) -> None:
    ours = {
        name.split(".")[1]
        for name in imported(PACKAGE / f"{module}.py", everywhere=True)
        if name.startswith("qinsight.")
    }
    assert ours <= allowed


def test_nothing_in_the_package_imports_the_training() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not any(name.startswith("training") for name in imported(path, everywhere=True)), path


OF_A_MACHINE = re.compile(r"(?<![\w.~])/(?:root|work|home/\w+)/")


def test_no_path_of_a_machine_is_written_into_the_repository() -> None:
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    texts = 0
    for name in filter(None, files):
        path = REPOSITORY / name
        if not path.is_file() or path == Path(__file__):
            continue
        content = path.read_bytes()
        if b"\0" in content[:8000]:
            continue
        found = OF_A_MACHINE.search(content.decode("utf-8", "replace"))
        assert not found, f"{name} holds {found and found[0]}"
        texts += 1
    assert texts > 30


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cd " + "/work" + "/main", True),
        ("'" + "/root" + "/w/venv'", True),
        ("/home" + "/ann/x", True),
        ("https://example.org/work/main", False),
        ("./work/x", False),
        ("network/root", False),
    ],
)
def test_a_path_of_a_machine_is_known_when_it_is_seen(text: str, found: bool) -> None:
    assert bool(OF_A_MACHINE.search(text)) == found


def test_every_file_the_readme_names_exists() -> None:
    root = PACKAGE.parent
    readme = (root / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)#:]+)\)", readme)
    tree = readme.split("in reading order\n```\n")[1].split("```")[0]
    folder, listed = "", []
    for line in tree.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
            listed.append(name)
        elif line.startswith("  ") and not line.startswith("   "):
            listed.append(folder + name)
    assert len(listed) > 25
    missing = [name for name in (*linked, *listed) if not (root / name).exists()]
    assert missing == []


def test_every_module_of_the_package_is_in_the_readmes_tree() -> None:
    tree = (PACKAGE.parent / "README.md").read_text(encoding="utf-8").split("in reading order\n```\n")[1]
    unnamed = [module for module in MODULES if module != "__init__" and f"  {module}.py " not in tree]
    assert unnamed == []

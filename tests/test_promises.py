"""What the design says of the code as a whole: who may import whom, and that no machine is written into it."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "qinsight"
TESTS = REPOSITORY / "tests"
HEAVY = {"torch", "transformers", "gradio", "peft", "bitsandbytes"}
MAY_BE_HEAVY = {
    f"qinsight.engines.{name}"
    for name in ("local", "conversation", "decoding", "eyes", "gauge", "products", "weights")
}

# The rooms, lowest first: a room imports only what stands before it. A `__main__` stands above everything.
PRODUCT = [
    [
        "sentence",
        "errors",
        "stopping",
        "terminal",
        "whole_files",
        "json_lines",
        "ledger",
        "ahead",
        "hosts",
        "prompts",
    ],
    ["keeping", "photos", "requests", "answers"],
    ["odds", "engines"],
    ["assess", "flags"],
    ["report", "ranking"],
    ["check"],
    ["library", "trust"],
    ["page", "qinsight"],
]
TRAINING = [
    ["training", "command_line", "published"],
    ["data"],
    ["rewards", "merge"],
    ["evaluate"],
    ["grpo"],
    ["preflight", "preview"],
]


def module_of(path: Path) -> str:
    """The name by which a file is imported."""
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def modules(package: str) -> dict[str, Path]:
    """Every module of a package and the file it is in."""
    return {module_of(path): path for path in sorted((REPOSITORY / package).rglob("*.py"))}


def room(module: str) -> str:
    """The folder or the single file below the package that a module belongs to."""
    return module.split(".")[1] if "." in module else module


OURS = modules("qinsight") | modules("training")


def imported(path: Path, *, everywhere: bool = False) -> set[str]:
    """Names of the modules a file imports at its top, or everywhere in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are written out"
            whole = {f"{node.module}.{name.name}" for name in node.names}
            found |= (whole & set(OURS)) or {node.module or ""}
    return found


@pytest.mark.parametrize("module", modules("qinsight"))
def test_only_the_engine_and_its_weights_load_torch(module: str) -> None:
    heavy = {name.split(".")[0] for name in imported(OURS[module])} & HEAVY
    assert not heavy or module in MAY_BE_HEAVY or room(module) == "page"


def test_the_engine_and_its_weights_do_load_torch() -> None:
    """Or the test above would show nothing."""
    for module in MAY_BE_HEAVY:
        assert "torch" in imported(OURS[module])


@pytest.mark.parametrize(("package", "order"), [("qinsight", PRODUCT), ("training", TRAINING)])
def test_a_room_imports_nothing_above_it(package: str, order: list[list[str]]) -> None:
    place = {name: floor for floor, names in enumerate(order) for name in names}
    for module, path in modules(package).items():
        if module.endswith("__main__"):
            continue
        assert room(module) in place, f"give {room(module)} its place in the order"
        for name in imported(path, everywhere=True) & set(modules(package)):
            assert place[room(name)] <= place[room(module)], f"{module} imports {name}"


def test_no_two_modules_import_each_other_not_even_by_way_of_others() -> None:
    arrows = {module: imported(path, everywhere=True) & set(OURS) for module, path in OURS.items()}
    for module in OURS:
        reached, waiting = set(), [module]
        while waiting:
            new = arrows[waiting.pop()] - reached
            reached |= new
            waiting += new
        assert module not in reached, f"{module} imports itself by way of {sorted(reached)}"


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("sentence", set()),
        ("errors", {"sentence"}),
        ("prompts", set()),
        ("requests", {"prompts"}),
        ("photos.view", {"errors"}),
        ("answers", {"errors", "prompts"}),
    ],
)
def test_questions_and_answers_stand_on_almost_nothing(module: str, allowed: set[str]) -> None:
    ours = imported(OURS[f"qinsight.{module}"], everywhere=True) & set(OURS)
    assert {room(name) for name in ours} <= allowed


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


def test_every_room_is_in_the_readmes_tree() -> None:
    tree = (PACKAGE.parent / "README.md").read_text(encoding="utf-8").split("in reading order\n```\n")[1]
    rooms = {room(module) for module in OURS} - {"qinsight", "training", "__main__"}
    shown = {line.split()[0].removesuffix(".py").rstrip("/") for line in tree.split("```")[0].splitlines()}
    assert rooms <= shown


def readme(path: str = "README.md") -> str:
    return (REPOSITORY / path).read_text(encoding="utf-8")


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len(readme().split()) <= 1200


GUIDES = [
    "README.md",
    "training/README.md",
    *(f"qinsight/{room}/README.md" for room in ("check", "engines", "page", "ranking", "trust")),
]


@pytest.mark.parametrize("guide", [*GUIDES, "tests/benchmarks/README.md"])
def test_every_link_of_a_guide_leads_somewhere(guide: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", readme(guide)):
        assert (REPOSITORY / guide).parent.joinpath(target).exists(), target


def flags(*command: str) -> set[str]:
    told = subprocess.run(
        [sys.executable, *command, "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return set(re.findall(r"--[a-z][\w-]*", told.stdout))


def test_every_flag_in_the_guides_of_the_product_is_one_that_a_command_takes() -> None:
    known = flags("app.py") | flags("examples/deploy/space.py") | {"--help"}
    for name in (
        "score",
        "compare",
        "rank",
        "quantize",
        "convert",
        "check",
        "tournament",
        "audit",
        "calibrate",
    ):
        known |= flags("-m", "qinsight", name)
    for guide in GUIDES:
        if guide == "training/README.md":
            continue
        for line in readme(guide).splitlines():
            if re.search(r"vllm serve|hf download|pip install|python -m training", line):
                continue  # others' flags
            assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", line)) <= known, line


def test_the_readmes_program_runs_as_it_stands() -> None:
    code = readme().split("```python\n")[1].split("```")[0]
    told = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    rating, *diagnoses = told.stdout.splitlines()
    assert 1 <= float(rating) <= 5
    assert [line.split()[0] for line in diagnoses] == ["cat.jpg", "cat_blurred.jpg"]


def test_the_tests_stand_in_the_rooms_of_the_code() -> None:
    folders = {path.parent.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")} - {"."}
    assert len(folders) > 8
    for folder in folders:
        room_of = PACKAGE.parent / folder if folder.startswith("training") else PACKAGE / folder
        assert (room_of / "__init__.py").is_file(), folder


ANOTHERS = re.compile(r"^\s*(?:from|import) (?:\w+\.)*(?:test_\w+|conftest)\b", re.MULTILINE)


def test_no_test_file_imports_another_and_none_is_too_long_to_read() -> None:
    for path in TESTS.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not ANOTHERS.search(text), f"{path.name}: what two files share belongs in tests/shared"
        assert text.count("\n") <= 700, path.name


def test_no_script_or_style_of_the_page_has_lines_too_long_to_read() -> None:
    for path in [*PACKAGE.rglob("*.js"), *PACKAGE.rglob("*.css")]:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert not [(path.name, at, line) for at, line in enumerate(lines, 1) if len(line) > 120]


def test_an_import_of_another_test_file_is_known_when_it_is_seen() -> None:
    assert ANOTHERS.search("x = 1\n    " + "from test_page import served")
    assert ANOTHERS.search("import " + "conftest")
    assert not ANOTHERS.search("from shared.pages import served")


def test_every_module_of_the_training_is_in_its_guide() -> None:
    table = [line for line in readme("training/README.md").splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(\w+)(?:\.py)?`", "\n".join(line.split(" | ")[0] for line in table)))
    modules_of = {module.rpartition(".")[2] for module in modules("training")}
    rooms = {room(module) for module in modules("training") if module.count(".") > 1}
    assert modules_of - rooms - {"__main__", "training"} == named


@pytest.mark.parametrize(
    "script",
    [path for room in ("benchmarks", "load") for path in sorted((TESTS / room).glob("*.py"))],
    ids=lambda path: path.stem,
)
def test_what_a_measuring_script_takes_from_us_is_there(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody runs them but who measures: what moves away must be missed before."""
    monkeypatch.syspath_prepend(script.parent)
    ours = {"qinsight", "training", "shared"} | {path.stem for path in TESTS.rglob("*.py")}
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ours:
            found = importlib.import_module(node.module)
            names = [one.name for one in node.names]
            assert [name for name in names if not hasattr(found, name)] == []

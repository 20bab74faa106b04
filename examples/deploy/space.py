"""Puts the page on a Hugging Face Space, with what a demo needs and nothing that only training needs.

    hf auth login
    python examples/deploy/space.py NAME/q-insight [--hardware zero-a10g]
    python examples/deploy/space.py --only FOLDER

The second form writes what would be uploaded to a folder, to look at it or to push it by other means. An upload
through the hub's API stores photos and weights as the hub wants them, which a plain `git push` does not.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIT = ("app.py", "qinsight", "examples", "README.md", "LICENSE")
TRAINING_ONLY = {"trl", "scipy"}  # with peft a page serves adapters
TORCH = "torch>=2.9,<2.12           # ZeroGPU has 2.9.1, 2.10.0 and 2.11.0"
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "*.pyi", "deploy", ".*")


def requirements() -> str:
    """The repository's requirements with the torch that a Space can have, without those of the training."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    kept = [line for line in packages if _name(line) not in TRAINING_ONLY]
    return "\n".join(TORCH if _name(line) == "torch" else line for line in kept) + "\n"


def _name(line: str) -> str:
    return line.split(">")[0].split("<")[0].split("=")[0].strip()


def write_kit(folder: Path) -> None:
    """Write into an empty folder what a Space holds."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        sys.exit(f"Expected an empty folder, got {folder} with something in it.")
    for name in KIT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=LEFT_OUT)
        else:
            shutil.copy2(source, folder / name)
    (folder / "requirements.txt").write_text(requirements(), encoding="utf-8")


def upload(space: str, hardware: str | None) -> str:
    """Create the Space if there is none, upload the kit; returns its address."""
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(space, repo_type="space", space_sdk="gradio", space_hardware=hardware, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_kit(Path(folder))
        api.upload_folder(folder_path=folder, repo_id=space, repo_type="space", delete_patterns="*")
    return f"https://huggingface.co/spaces/{space}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("space", nargs="?", metavar="NAME/SPACE")
    parser.add_argument("--hardware", help="e.g. zero-a10g, t4-small; default: what the Space has")
    parser.add_argument("--only", type=Path, metavar="FOLDER", help="write there, upload nothing")
    options = parser.parse_args()
    if bool(options.space) == bool(options.only):
        parser.error("expected a Space's name, or --only and a folder")
    if options.only:
        write_kit(options.only)
        print(f"Written: {options.only}")
    else:
        print(upload(options.space, options.hardware))


if __name__ == "__main__":
    main()

"""The language of the repository: words that hide the meaning, and names that were replaced."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_VAGUE_WORDS = 20
VAGUE_WORDS = re.compile(
    r"\b(" + "|".join(["no" + "body", "who" + "ever", "what" + "ever", "some" + "body"]) + r")\b", re.I
)
OLD_NAMES = re.compile(
    r"\b("
    + "|".join(
        [
            r"To" + "ld",
            "Mouth" + "piece",
            r"class Ho" + "ld",
            "Clear" + "ance",
            "Un" + "said",
            "_Sto" + "ry",
            "_De" + "sk",
            r"MO" + r"ST_\w+",
            "pat" + "iently",
            r"lad" + "der",
        ]
    )
    + r")\b"
)
OLD_MODULES = {
    f"{name}.py"
    for name in (
        "elections",
        "patience",
        "holding",
        "agreements",
        "lad" + "der",
        "letters",
        "kept",
        "ends",
        "taking_back",
    )
}


def tracked_files() -> list[Path]:
    """Returns the Python and Markdown files of the repository."""
    listed = subprocess.run(["git", "ls-files", "*.py", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def matches(pattern: re.Pattern[str]) -> list[str]:
    """Returns one line per match: file, line number, text."""
    return [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in tracked_files()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_vague_words_are_rare() -> None:
    found = matches(VAGUE_WORDS)
    assert len(found) < MAX_VAGUE_WORDS, "\n".join(found)


def test_replaced_names_do_not_return() -> None:
    assert matches(OLD_NAMES) == []


def test_replaced_modules_do_not_return() -> None:
    assert [str(file) for file in tracked_files() if file.name in OLD_MODULES] == []

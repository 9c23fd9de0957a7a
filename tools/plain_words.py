"""Finds phrases that the project no longer uses, in documentation, docstrings, comments and messages.

Called without arguments by `make check`, with the changed files by pre-commit.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = (
    "*.md",
    ".github/**/*.md",
    "docs/**/*.md",
    "histio/**/*.py",
    "benchmarks/**/*.py",
    "benchmarks/*.md",
    "examples/*/README.md",
    "tests/**/README.md",
    "tools/README.md",
)

# A regular expression, in which a space is any white space, and what to write instead.
PLAIN = {
    r"likewise": "say it again, or `also`",
    r"(?-i:As for)": "say it here: a docstring is read alone",
    r"(brought|bring) to (their|its) ends?": "finished, imported, handled",
    r"of which nothing": "without",
    r"held against": "compared with, checked against",
    r"of no use": "cannot be used",
    r"(read|reads) over": "ignored",
    r"what (is|was) odd": "what is unusual",
    r"(it|that|which|what|who) (is|was) no (?!longer|more|other)\w+": "is not a …",
    r"(tell|tells|told|telling) of": "describes, lists, says",
    r"pages? to look at": "HTML report",
    r"(what|which) stands": "name the thing",
    r"(stand|stands) (there|where|behind|beside|for runs)": "is, follows, is next to",
    r"what becomes of": "what happens to",
    r"made what": "replaced with, changed to",
    r"swift(ly)?": "the fast path",
    r"in no time": "quickly",
    r"(whence|thither|whither|thereof|therein|thereby|whereupon|hereby|nought)": "a word in use today",
    r"(is|are|was|were|be) (sought|wanting)": "looked for, missing",
    r"by (itself|themselves) alone": "alone",
    r"whoever": "anyone who, you",
}
_FORBIDDEN = {
    re.compile(rf"\b(?:{phrase})\b".replace(" ", r"(?:\s|#)+"), re.IGNORECASE): instead
    for phrase, instead in PLAIN.items()
}


def find(text: str) -> Iterator[tuple[int, str, str]]:
    """Each such phrase in *text*: its line, itself, and what to write instead."""
    for pattern, instead in _FORBIDDEN.items():
        for found in pattern.finditer(text):
            yield text.count("\n", 0, found.start()) + 1, " ".join(found[0].split()), instead


def main(names: Sequence[str]) -> int:
    """Print what is found in the files *names*, or in all files; 1 if anything is."""
    listed = {path for place in PLACES for path in ROOT.glob(place) if "node_modules" not in path.parts}
    paths = {Path(name).resolve() for name in names} & listed if names else listed
    found = [
        f"{path.relative_to(ROOT)}:{line}: {phrase!r}: {instead}"
        for path in sorted(paths)
        for line, phrase, instead in sorted(find(path.read_text("utf-8")))
    ]
    print("\n".join(found) or "Plain words only.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

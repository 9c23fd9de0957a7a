"""Write what commands print into the console blocks of pages: `python -m tools.consoles docs/tutorial.md …`.

Lines with `…` stay as they are if they still match.
"""

import sys
import tempfile
from pathlib import Path

from tests.support import markdown


def main(names: list[str]) -> None:
    """Run the pages *names*, and write their console blocks again."""
    run, outputs = markdown.terminal, []
    markdown.terminal = lambda command: outputs.append(run(command)) or outputs[-1]
    for name in names:
        page = markdown.Page(name)
        outputs.clear()
        with tempfile.TemporaryDirectory() as folder:
            list(page.run(Path(folder)))
        before = sum(len(block.commands) for each in page.before for block in each.code("console"))
        new = iter(outputs[before:])
        text, rest = "", page.text
        for block in page.code("console"):
            said = block.code.removeprefix("$ ").split("\n$ ")
            code = "".join(_write(each, next(new)) for each in said)
            above, found, rest = rest.partition(f"```console\n{block.code}")
            text += above + found.removesuffix(block.code) + code
        page.path.write_text(text + rest, "utf-8")


def _write(said: str, output: str) -> str:
    """A command with its *output*, which replaces what is *said* below it."""
    command, *promised = said.splitlines()
    lines = markdown.leave_out(output.splitlines(), promised)[: len(output.splitlines())]
    return "\n".join([f"$ {command}", *lines]) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])

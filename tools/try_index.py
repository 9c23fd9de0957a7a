"""Install histio by name from an index, as its users will, and try what they try first.

Called by `make try-index` and by CI. It writes an index of the built files (PEP 503), installs histio from it
into a virtual environment, uses each extra before and after it is installed, and runs the commands of the
README.
"""

import argparse
import hashlib
import html
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

# For each extra, what needs it, and what it prints if the extra is installed.
NEEDS = {
    "postgresql": ("histio init --url postgresql+psycopg://nobody@127.0.0.1:1/none", "refused"),
    "mariadb": ("histio init --url mariadb+pymysql://nobody@127.0.0.1:1/none", "refused"),
    "asyncio": ("python -c 'import histio; print(histio.AsyncHistory().kinds)'", "production_run"),
    "testing": (
        "python -c 'import histio; from histio.testing import documents; print(documents(histio.History()))'",
        "drawn",
    ),
    "urls": ("histio inspect memory://history.jsonl", "No such file"),
    "report": ("histio report demo/history.json -o report.html", "report.html"),
    "tables": ("histio flatten demo/history.json --to tables --format xlsx", "tables"),
}


class Trial:
    """A virtual environment, in which histio is installed from an index, and a folder to try it in."""

    def __init__(self, environment: Path, index: str, folder: Path) -> None:
        self.index = index
        self.folder = folder
        # Errors of the system are in English, and texts in UTF-8, as this program expects them.
        self.variables = os.environ | {
            "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
        }
        # Neither the checkout instead of what is installed, nor a second to compile it for each command, nor
        # the database of whoever calls this.
        for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "HISTIO_DATABASE_URL", "HISTIO_TRACEBACK"):
            self.variables.pop(name, None)

    def run(self, command: str) -> tuple[int, str]:
        """The exit code of a *command*, and all that it printed."""
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def must(self, command: str) -> str:
        """What a *command* prints, which must succeed."""
        code, printed = self.run(command)
        demand(code == 0, f"{command} has exit code {code}:\n{printed}")
        return printed

    def pip(self, command: str) -> None:
        """Run pip with the index beside those that are configured on this machine."""
        options = f"--quiet --disable-pip-version-check --extra-index-url {shlex.quote(self.index)}"
        self.must(f"python -m pip {command} {options}")


def demand(condition: object, text: str) -> None:
    """End with *text* unless the *condition* is true."""
    if not condition:
        sys.exit(text)


def write_index(built: Path, folder: Path) -> str:
    """Write the simple index of the files in *built* to *folder*, and return its URL."""
    project = folder / "histio"
    project.mkdir(parents=True)
    needs = html.escape(PROJECT["requires-python"])
    links = []
    for path in sorted(built.iterdir()):
        content = path.read_bytes()
        (project / path.name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        links.append(f'<a href="{path.name}#sha256={digest}" data-requires-python="{needs}">{path.name}</a>')
    page = "<!DOCTYPE html><title>histio</title><body>{}</body>\n"
    (project / "index.html").write_text(page.format("<br>".join(links)), "utf-8")
    (folder / "index.html").write_text(page.format('<a href="histio/">histio</a>'), "utf-8")
    return folder.as_uri()


def check_contents(built: Path) -> None:
    """Check that the wheel has the package and no more, and the source distribution all but hidden files."""
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = set(kept.stdout.splitlines())
    [wheel], [source] = built.glob("*.whl"), built.glob("*.tar.gz")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {
        name.replace("schemas/", "histio/") for name in tracked if name.startswith(("histio/", "schemas/"))
    }
    demand(packed == package, f"{wheel.name} has or lacks {sorted(packed ^ package)}")
    with tarfile.open(source) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    visible = {name for name in tracked if not name.startswith(".")} | {".gitignore", "PKG-INFO"}
    demand(packed == visible, f"{source.name} has or lacks {sorted(packed ^ visible)}")


def try_extras(trial: Trial) -> None:
    """Each extra is asked for by name where it is missing; then all are installed, and none is asked for."""
    for extra, (command, _) in NEEDS.items():
        _, printed = trial.run(command)
        demand(
            f"pip install 'histio[{extra}]'" in printed, f"{command} does not ask for its extra:\n{printed}"
        )
    trial.pip(f"install 'histio[{','.join(EXTRAS)}]'")
    for command, expected in NEEDS.values():
        _, printed = trial.run(command)
        demand(expected in printed and "install" not in printed, f"{command} prints:\n{printed}")


def try_readme(trial: Trial) -> None:
    """The commands of the README work one after the other."""
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    for command in "".join(blocks).splitlines():
        if command.startswith("histio "):
            trial.must(command)
        elif command.startswith("pip download "):
            trial.pip(command.removeprefix("pip "))


def main() -> None:
    """Check what was built, install it, and try it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("built", type=Path, help="the folder with the wheel and the source distribution")
    parser.add_argument("environment", type=Path, help="the virtual environment to make or to use")
    parser.add_argument("--python", default=sys.executable, help="the Python of a new environment")
    parser.add_argument("--brief", action="store_true", help="do not try the extras")
    options = parser.parse_args()

    check_contents(options.built)
    subprocess.run([options.python, "-m", "venv", options.environment], check=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = write_index(options.built, folder / "simple")
        trial = Trial(options.environment.absolute(), index, folder)
        trial.pip("install --no-compile --report installed.json histio")
        installed = json.loads((folder / "installed.json").read_text("utf-8"))["install"]
        [origin] = [
            each["download_info"]["url"] for each in installed if each["metadata"]["name"] == "histio"
        ]
        demand(origin.startswith(index), f"histio comes from {origin}")
        schema = (ROOT / "schemas" / "history-1.0.schema.json").read_text("utf-8")
        demand(trial.must("histio schema") == schema, "histio schema prints another schema")
        trial.must("histio demo demo")
        if not options.brief:
            try_extras(trial)
        try_readme(trial)
        print(trial.must("histio --version").strip(), "works as installed from an index")


if __name__ == "__main__":
    main()

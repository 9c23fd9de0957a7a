"""The commands of the README work, one after the other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def test_the_commands_that_download_and_upload_work(bakery, tmp_path):
    if shutil.which("curl") is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("curl is not installed")
    shown = "".join(re.findall("```sh\n(.*?)```", README, re.DOTALL))
    commands = [line for line in shown.splitlines() if "curl" in line]
    assert len(commands) == 10
    script = "\n".join(["set -e", *commands]).replace("http://127.0.0.1:8000", bakery.url)
    ran = subprocess.run(script, shell=True, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert ran.returncode == 0, ran.stderr
    # All runs exist, so each upload is accepted and changes nothing.
    assert ran.stdout.count('"committed": false') == ran.stdout.count('"problems": []') == 5
    assert ran.stdout.count('"rejected": 0') > 5

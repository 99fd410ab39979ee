# SPDX-License-Identifier: Apache-2.0
"""The documents: their Python runs as it stands, and their links lead somewhere."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
BLOCKS = [(page.name, code) for page in PAGES
          for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)]


@pytest.mark.parametrize("page", sorted({name for name, _ in BLOCKS}))
def test_python(page, tmp_path, monkeypatch):
    """The blocks of a page are read from top to bottom by one reader."""
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in (code for name, code in BLOCKS if name == page):
        exec(compile(code, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target

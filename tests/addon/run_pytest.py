# SPDX-License-Identifier: GPL-3.0-or-later
"""pytest with the exit codes that meson knows: 77 when everything was skipped."""

import sys

import pytest


class Outcomes:
    """Counts what really ran."""

    def __init__(self):
        self.passed = self.skipped = 0

    def pytest_runtest_logreport(self, report):
        self.passed += report.when == "call" and report.passed
        self.skipped += report.skipped


outcomes = Outcomes()
code = pytest.main(["-q", "-rs", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[outcomes])
sys.exit(77 if code == 0 and outcomes.skipped and not outcomes.passed else int(code))

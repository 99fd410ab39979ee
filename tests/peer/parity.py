# SPDX-License-Identifier: Apache-2.0
"""Computes with headsds what the reference packages computed, and compares. docs/reliability.md says how to run it.

The packages of requirements.txt and requirements-4.txt write models, LoRAs, schedulers and tokenizers; they are installed below
tests/peer/made (some GB), unless interpreters that have them are given. The exit status is 1 where a number is
further from the reference's than the tolerance."""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import warnings

import numpy as np

import headsds

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "field"))
import reference  # noqa: E402
import vocabulary  # noqa: E402


def environment(work, requirements):
    """An interpreter that has the packages."""
    place = work / requirements.removesuffix(".txt")
    if not (place / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        subprocess.run([place / "bin/python", "-m", "pip", "install", "-q", "-r", HERE / requirements], check=True)
        (place / "done").touch()
    return place / "bin/python"


def write(python, script, files, *more):
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([python, HERE / script, files, *more], check=True, env={**settings, "HF_HUB_OFFLINE": "1"})


def token_cases(files):
    """A tokenizer written in Python is compared with the one in Rust: the packages differ, and ours is as the latter."""
    for path in sorted(files.glob("tokens-*.json")):
        rows = {row["name"]: row for row in json.loads(path.read_text(encoding="utf-8"))}
        for name, row in rows.items():
            expected = row["ids"]
            if "-slow" in name:
                fast = rows[name.replace("-slow", "-fast")]
                expected = fast["ids"]
                print(f"{name}: {sum(a != b for a, b in zip(row['ids'], expected))} of {len(expected)} texts have other ids "
                      f"than {fast['name']} gives")
            yield {"group": "token ids, transformers " + path.stem.removeprefix("tokens-"), "name": name,
                   "load": {"base": "sd", "parts": {"tokenizer": row["folder"], "text_encoder": "roomy"}},
                   "check": {"what": "tokens", "prompts": row["prompts"]}, "expected": expected, "tolerance": 0,
                   "shape": np.shape(expected)}


def difference(case, files, place):
    """The largest, and a word on it; inf where there is no number to compare."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error" if case["check"]["what"] != "tokens" else "ignore")
            found = reference.compute(reference.load(case, files, place), case["check"])
    except (headsds.Error, ValueError, OSError, Warning) as error:
        return np.inf, f"{type(error).__name__}: {error}"
    expected = np.reshape(case["expected"], case["shape"])
    if expected.size != found.size:
        return np.inf, f"shape {found.shape}, not {expected.shape}"
    apart = np.abs(found.reshape(expected.shape) - expected)
    if case["check"]["what"] == "walk":         # Euler's latents are in the thousands: of the largest, where that is above 1
        rest = tuple(range(1, expected.ndim))
        apart /= np.maximum(1, np.abs(expected).max(rest, keepdims=True))
    return (apart.max(), "") if np.isfinite(apart).all() else (np.inf, "numbers that are not finite")


def refused(case, files, place):
    """No scheduler is taken for another."""
    try:
        reference.run(reference.load(case, files, place), case["check"])
    except (headsds.Error, ValueError) as error:
        return 0 if case["name"] in str(error) or "flow" in str(error) else np.inf, str(error)
    return np.inf, "is not refused"


def compare(cases, files, links, show):
    """{group: [cases, largest difference, tolerance, failures]}"""
    groups = {}
    for number, case in enumerate(cases):
        apart, word = (refused if case["check"]["what"] == "refused" else difference)(case, files, links / str(number))
        row = groups.setdefault(case["group"], [0, 0, case["tolerance"], 0])
        failed = not apart <= case["tolerance"]
        row[0], row[1], row[3] = row[0] + 1, max(row[1], apart), row[3] + failed
        if failed or show:
            print(f"{'FAIL' if failed else 'ok'}  {case['group']}: {case['name']}: {apart:.2g} {word}".rstrip(), flush=True)
    return groups


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="an interpreter that has the packages of requirements.txt")
    parser.add_argument("--python-4", help="one that has those of requirements-4.txt")
    parser.add_argument("--work", type=pathlib.Path, default=HERE / "made", help="where everything is written")
    parser.add_argument("--again", action="store_true", help="compare with the files of the last run")
    parser.add_argument("--show", action="store_true", help="a line for each case")
    given = parser.parse_args()
    work = given.work.resolve()
    files, links = work / "files", work / "links"
    if not given.again:
        new, old = (given.python or environment(work, "requirements.txt"),
                    given.python_4 or environment(work, "requirements-4.txt"))
        shutil.rmtree(files, ignore_errors=True)
        vocabulary.write(files / "vocabulary")
        write(new, "write.py", files)
        for python in (new, old):
            write(python, "write_tokens.py", files, files / "vocabulary")
    shutil.rmtree(links, ignore_errors=True)
    content = reference.read(files)
    groups = compare([*content["cases"], *token_cases(files)], files, links, given.show)
    print("headsds", headsds.__version__, *(f"{name} {version}" for name, version in content["versions"].items()), sep=", ")
    print("| what | cases | largest difference | tolerance | verdict |\n|---|---|---|---|---|")
    for name, (count, apart, tolerance, failures) in groups.items():
        print(f"| {name} | {count} | {apart:.2g} | {tolerance:g} | {f'{failures} FAIL' if failures else 'ok'} |")
    return any(failures for *_, failures in groups.values())


if __name__ == "__main__":
    sys.exit(main())

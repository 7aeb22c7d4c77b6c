# SPDX-License-Identifier: BSD-3-Clause
"""The private Python environment of tools/checker: made once in the cache folder
(HEADRACE_CACHE, else ~/.cache/headrace), one for each content of requirements.txt."""
import hashlib
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from servers import Trouble, cache_folder, locked, say  # noqa: E402

REQUIREMENTS = os.path.join(HERE, "requirements.txt")
PYTHON = "python3.11"


def folder():
    with open(REQUIREMENTS, "rb") as f:
        version = hashlib.sha256(f.read()).hexdigest()[:16]
    return os.path.join(cache_folder(), "checker", version)


def interpreter():
    return os.path.join(folder(), "bin", "python")


def is_made():
    return os.path.exists(os.path.join(folder(), "complete"))


def base_python():
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    found = shutil.which(PYTHON)
    if not found:
        raise Trouble(f"tools/checker wants {PYTHON}; found "
                      f"{sys.version.split()[0]} and no {PYTHON} in PATH")
    return found


def make():
    """Installs what requirements.txt pins; says what is missing where it cannot."""
    if is_made():
        return
    path = folder()
    with locked(path + ".lock", "tools/checker's environment", 600):
        if is_made():
            return
        say(f"tools/checker: installing {REQUIREMENTS} into {path}")
        shutil.rmtree(path, ignore_errors=True)
        run([base_python(), "-m", "venv", path],
            "install the package python3-venv (tools/setup does)")
        run([interpreter(), "-m", "pip", "install", "--quiet", "--no-input",
             "--disable-pip-version-check", "--only-binary", ":all:",
             "--require-hashes", "-r", REQUIREMENTS],
            "the packages come from PyPI or the mirror that pip is configured for")
        with open(os.path.join(path, "complete"), "w", encoding="ascii"):
            pass


def run(argv, cure):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600,
                          stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Trouble(f"{' '.join(argv[:4])} … failed; {cure}:\n  "
                      + "\n  ".join(last))


def enter():
    """Goes on in the private environment: does not return where it is not in it."""
    if os.path.realpath(sys.prefix) == os.path.realpath(folder()):
        return
    make()
    os.execv(interpreter(), [interpreter(), "-B", os.path.realpath(sys.argv[0]),
                             *sys.argv[1:]])

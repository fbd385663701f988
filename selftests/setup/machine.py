# SPDX-License-Identifier: MIT
"""What a case of check-setup works with, and checks."""

import os
import pathlib
import signal
import subprocess

from setup.archive import Archive

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SETUP = ROOT / "scripts" / "setup"


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def says(machine, text, times=1):
    lines = [line for line in machine.log.splitlines() if text in line]
    check(len(lines) == times, f"{len(lines)} lines of setup's say '{text}', not {times}")


class Machine:
    """What a case works with: an archive, an apt that knows it alone, and an empty cache."""

    def __init__(self, folder):
        self.folder = folder
        self.cache = folder / "cache"
        self.archive = Archive(folder / "archive")
        for name in ("archive", "state/lists/partial", "apt/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in {
            "Dir::Etc::Main": "/dev/null", "Dir::Etc::Parts": "/dev/null", "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::SourceList": folder / "sources.list", "Dir::State": folder / "state", "Dir::Cache": folder / "apt",
            "Acquire::AllowInsecureRepositories": "true", "APT::Get::AllowUnauthenticated": "true",
            "APT::Sandbox::User": "root", "Acquire::Languages": "none", "Acquire::http::Proxy": "DIRECT",
        }.items()))
        self.source(f"file:{self.archive.folder}")
        self.environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "GCHEAP_CACHE": str(self.cache)}
        self.log = ""

    def source(self, address):
        (self.folder / "sources.list").write_text(f"deb {address} bookworm main\n" if address else "")

    def start(self, *words, **options):
        return subprocess.Popen([SETUP, *(words or ["build"])], env=self.environment, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, **options)

    def setup(self, *words, status=0):
        process = self.start(*words)
        try:
            self.log = process.communicate(timeout=300)[1]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        check(process.returncode == status, f"setup ended with {process.returncode}, not {status}")
        return self.log

    def release(self, series):
        path = self.cache / "kernels" / series
        if not path.exists():
            return None
        # The names that everything else knows a kernel by; all of one and the same release.
        release = (path / "release").read_text().strip()
        check((path / "vmlinuz").read_text().startswith(release), f"the image of {series} is of another release")
        check((path / "build" / "Makefile").exists(), f"{series} has no headers")
        check(f"include {path}/headers/usr/src/" in (path / "build" / "Makefile").read_text(),
              f"the headers of {series} do not find each other")
        check((path / "build" / ".." / ".." / "lib" / f"linux-kbuild-{release[:-len('-cloud-amd64')]}").exists(),
              f"{series} has no kbuild")
        return release

    def in_cache(self):
        kernels = self.cache / "kernels"
        return sorted(path.name for path in kernels.iterdir()) if kernels.exists() else []

# SPDX-License-Identifier: MIT
"""Cases of check-setup: the newest peers of the benchmarks, unpacked from testing."""

import os
import pathlib
import shutil
import subprocess
import time

from setup.archive import later_libc
from setup.machine import check, says

CASES = []
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def case(function):
    CASES.append(function)
    return function


def compiled(machine, name, *options):
    """A library of that name, which needs nothing but what the options say."""
    source, library = machine.folder / "empty.c", machine.folder / name
    source.write_text("void later_function(void); void f(void) { later_function(); }\n" if options else "")
    subprocess.run(["gcc", "-shared", "-nostdlib", "-fPIC", "-o", library, source, *options], check=True)
    return library


def program(machine, text):
    path = machine.folder / "go"
    path.write_text(text)
    path.chmod(0o755)
    return path


def usual(machine, libgc=None, go="#!/bin/sh\n[ -e $GOROOT/src/runtime ]\n", without=()):
    """Two mimallocs and two Gos, and a libgc, but for what is named."""
    def add(name, version, path, content):
        if name not in without:
            machine.archive.add(name, version, files={path: content}, suite="testing")

    machine.archive.add("hello", "2.10-3")
    library = compiled(machine, "empty.so")
    add("libmimalloc2.0", "2.0.9-1", f"{LIBRARIES}/libmimalloc.so.2.0", library)
    add("libmimalloc3", "3.6.0-1", f"{LIBRARIES}/libmimalloc.so.3.6", library)
    add("libgc1", "1:8.2.12-1", f"{LIBRARIES}/libgc.so.1.5.6", libgc or library)
    for number in ("1.9", "1.27"):
        add(f"golang-{number}-go", f"{number}.3-1", f"usr/lib/go-{number}/bin/go", program(machine, go))
        add(f"golang-{number}-src", f"{number}.3-1", f"usr/lib/go-{number}/src/runtime", "")


def version(machine, name):
    path = machine.cache / "peers" / name / "version"
    return path.read_text().strip() if path.exists() else None


def in_peers(machine):
    return sorted(path.name for path in (machine.cache / "peers").iterdir())


@case
def peers(machine):
    """the newest peers come from testing, are unpacked and not installed, and stay as they are"""
    usual(machine)
    machine.archive.add("libmimalloc9", "9.0-1", suite="bookworm")
    machine.archive.publish()
    machine.setup("peers")
    check(in_peers(machine) == ["go", "libgc", "mimalloc"], f"the cache has {in_peers(machine)}")
    check(version(machine, "mimalloc") == "3.6.0-1", f"mimalloc is {version(machine, 'mimalloc')}")
    check(version(machine, "libgc") == "1:8.2.12-1", f"libgc is {version(machine, 'libgc')}")
    check(version(machine, "go") == "1.27.3-1", f"Go is {version(machine, 'go')}")
    check((machine.cache / "peers/mimalloc/library").resolve().name == "libmimalloc.so.3.6", "another library has its name")
    check(not (machine.cache / "peers/libgc/libc").exists(), "a libc came along that nobody needs")
    check((machine.cache / "peers/go/goroot/src/runtime").exists(), "Go is without its sources")
    known = subprocess.run(["apt-cache", "pkgnames", "libmimalloc"], env=machine.environment, check=True,
                           capture_output=True, text=True).stdout
    check("libmimalloc3" not in known.split(), "the machine's own lists have become to know testing's")
    shutil.rmtree(machine.archive.folder)
    check(machine.setup("peers") == "", "setup had something to do or say")


@case
def peers_with_their_libc(machine):
    """a library that needs a later libc comes with that"""
    _, libc, loader = later_libc(machine.folder)
    usual(machine, libgc=compiled(machine, "libgc.so.1", libc))
    machine.archive.add("libc6", "9.99-1", suite="testing", files={
        f"{LIBRARIES}/libc.so.6": libc, f"{LIBRARIES}/ld-linux-x86-64.so.2": loader})
    machine.archive.publish()
    machine.setup("peers")
    check(version(machine, "libgc") == "1:8.2.12-1", f"libgc is {version(machine, 'libgc')}")
    files = sorted(path.name for path in (machine.cache / "peers/libgc/libc").iterdir())
    check(files == ["ld-linux-x86-64.so.2", "libc.so.6"], f"its libc is {files}")


@case
def peers_without_a_libc(machine):
    """where that libc cannot be had, the library is left out, and the others are not"""
    _, libc, _ = later_libc(machine.folder)
    usual(machine, libgc=compiled(machine, "libgc.so.1", libc))
    machine.archive.publish()
    machine.setup("peers")
    says(machine, "going on without the newest libgc: it does not run on this machine")
    check(in_peers(machine) == ["go", "libgc.absent", "mimalloc"], f"the cache has {in_peers(machine)}")


@case
def no_peers(machine):
    """no testing: each peer is said to be missing, nothing fails, and nobody asks again that day"""
    machine.archive.add("libmimalloc9", "9.0-1", suite="bookworm")
    machine.archive.publish()
    machine.setup("peers")
    says(machine, "the mirrors of this machine have no testing, or cannot be reached", 3)
    absent = ["go.absent", "libgc.absent", "mimalloc.absent"]
    check(in_peers(machine) == absent, f"the cache has {in_peers(machine)}")
    check(machine.setup("peers") == "", "setup asks again")
    usual(machine)
    machine.archive.publish()
    check(machine.setup("peers") == "", "setup asks again")
    for name in absent:
        os.utime(machine.cache / "peers" / name, (time.time() - 25 * 3600,) * 2)
    machine.setup("peers")
    check(in_peers(machine) == ["go", "libgc", "mimalloc"], f"the cache has {in_peers(machine)}")


@case
def no_mirror_of_peers(machine):
    """sources without a mirror of Debian: the same"""
    machine.source(None)
    machine.setup("peers")
    says(machine, "the mirrors of this machine have no testing, or cannot be reached", 3)


@case
def half_a_peer(machine):
    """a Go whose sources are not there is left out"""
    usual(machine, without=("golang-1.27-src", "golang-1.9-src"))
    machine.archive.publish()
    machine.setup("peers")
    says(machine, "going on without the newest go: testing has no package golang-[0-9.]+-src")
    check(in_peers(machine) == ["go.absent", "libgc", "mimalloc"], f"the cache has {in_peers(machine)}")


@case
def peer_with_other_content(machine):
    """a package that is not what the lists say is not unpacked"""
    usual(machine)
    machine.archive.publish()
    deb = pathlib.Path(machine.archive.folder, "pool/libmimalloc3_3.6.0-1_amd64.deb")
    deb.write_bytes(deb.read_bytes().replace(b"made up", b"made  up"[:7]))
    machine.setup("peers")
    says(machine, "going on without the newest mimalloc: libmimalloc3 could not be downloaded")
    check(in_peers(machine) == ["go", "libgc", "mimalloc.absent"], f"the cache has {in_peers(machine)}")


@case
def peer_that_does_not_run(machine):
    """a Go that does not run is left out"""
    usual(machine, go="#!/bin/sh\nexit 1\n")
    machine.archive.publish()
    machine.setup("peers")
    says(machine, "going on without the newest go: it does not run on this machine")
    check(in_peers(machine) == ["go.absent", "libgc", "mimalloc"], f"the cache has {in_peers(machine)}")

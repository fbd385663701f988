# SPDX-License-Identifier: MIT
"""What is checked on this machine, without a virtual machine: sources, headers, exported names, installation, and the
tests of core and library with the sanitizers."""

import fnmatch
import os
import re
import sys

from runner.jobs import BUILD, CACHE, ROOT, Logs, check_job, fuzz_job, program_job, run, show, step_job

CHECKPATCH = f"{CACHE}/linux-source/scripts/checkpatch.pl"


def tsan_tests():
    """The library's tests that the Makefile builds with ThreadSanitizer."""
    with open(f"{ROOT}/Makefile") as file:
        return re.search(r"^tsan_tests := ((?:.*\\\n)*.*)$", file.read(), re.MULTILINE).group(1).replace("\\", "").split()


def sources(*folders, suffixes=(".c", ".h")):
    found = []
    for folder in folders:
        for where, _, names in os.walk(folder):
            found += [os.path.join(where, name) for name in names if name.endswith(suffixes)]
    return sorted(found)


def size_classes():
    complaints = []
    for option, committed in (("--header", "common/size_classes.h"), ("--source", "common/size_classes.c")):
        printed, status = run([sys.executable, "scripts/mksizeclasses.py", option])
        with open(committed) as file:
            if status != 0 or file.read() != printed:
                complaints.append(f"{committed} is not what scripts/mksizeclasses.py {option} prints")
    return complaints


def checkpatch():
    exceptions = []
    with open("scripts/checkpatch.exceptions") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                path, kind, why = line.split(None, 2)
                exceptions.append((path, kind, why))
    files = sources("common", "kmod", "uapi", "lib", "selftests/gcheap")
    # It leaves a file where it runs.
    output, status = run(["perl", CHECKPATCH, "--no-tree", "--strict", "--terse", "--show-types", "--no-summary",
                          "--quiet", "-f", *(f"{ROOT}/{file}" for file in files)], where=Logs.folder)
    if status not in (0, 1):
        return [f"checkpatch.pl: status {status}", output]
    complaints = []
    for line in output.replace(f"{ROOT}/", "").splitlines():
        # What does not look so is about checkpatch's own search for the kernel's headers.
        found = re.match(r"^(\S+?):\d+: (?:ERROR|WARNING|CHECK):(\w+):", line)
        if found and not any(fnmatch.fnmatch(found.group(1), path) and found.group(2) == kind
                             for path, kind, _ in exceptions):
            complaints.append(line)
    return complaints


def licence_lines():
    """Every file says its licence. A tree without git, as from a tarball, is taken as it is."""
    if os.path.exists(".git"):
        listed, status = run(["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others",
                              "--exclude-standard"])
        if status != 0:
            return [f"git ls-files: {listed}"]
        paths = listed.splitlines()
    else:
        paths = [path[2:] for path in sources(".", suffixes="") if not path.startswith(f"./{BUILD}/")]
    complaints = []
    for path in paths:
        if path in ("LICENSE", "VERSION") or path.startswith("LICENSES/") or not os.path.isfile(path):
            continue
        if path.endswith((".svg", ".png", ".expected")):    # no comments in there
            continue
        with open(path, errors="replace") as file:
            head = "".join(line for _, line in zip(range(5), file))
        if "SPDX-License-Identifier:" not in head:
            complaints.append(f"{path}: no SPDX-License-Identifier in its first lines")
    return complaints


def exports():
    """The shared library exports what the public header declares, and nothing else."""
    symbols, status = run(["nm", "-D", "--defined-only", f"{BUILD}/lib/libgcheap.so"])
    if status != 0:
        return [symbols]
    exported = {line.split()[2].split("@")[0] for line in symbols.splitlines() if " A " not in line}
    declared = set()
    for header in sources("lib/include"):
        text, _ = run(["gcc", "-E", "-P", "-Ilib/include", header])
        declared |= set(re.findall(r'visibility\("default"\)[^;{]*?\b(gcheap_\w+)\s*[(\[;]', text))
    complaints = [f"declared, not exported: {name}" for name in sorted(declared - exported)]
    return complaints + [f"exported, not declared: {name}" for name in sorted(exported - declared)]


def probe_answers():
    """What kernels are known to have, kmod/probe/answers, the questions of Kbuild found there. What they found besides is
    there too, as stable kernels take over what is newer, and is printed; so is all of a series that is not known."""
    with open("kmod/probe/answers") as file:
        heading, *lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    known = {series: {line[0] for line in lines if line[column] == "yes"}
             for column, series in enumerate(heading[1:], 1)}
    with open("kmod/probe/features.c") as file:
        asked = set(re.findall(r"^#ifdef PROBE_(\w+)$", file.read(), re.MULTILINE))
    complaints = [f"kmod/probe/answers and features.c do not both have {name}"
                  for name in sorted(asked ^ {line[0] for line in lines})]
    headers = [header for header in sources(f"{BUILD}/module", suffixes=("probed.h",)) if "/kmod/" in header]
    for header in headers:
        release = header.split("/")[2]
        with open(header) as file:
            found = set(re.findall(r"GCHEAP_HAVE_(\w+)", file.read()))
        has = known.get(".".join(release.split(".")[:2]), set())
        complaints += [f"{release} was found not to have {name}" for name in sorted(has - found)]
        if found - has:
            show(f"{release} has what kmod/probe/answers does not tell: {' '.join(sorted(found - has))}")
    return complaints if headers else [f"no module was built below {BUILD}/module"]


def tests_of(folder, pattern):
    return [os.path.splitext(name)[0] for name in sorted(os.listdir(folder)) if fnmatch.fnmatch(name, pattern)] \
        if os.path.isdir(folder) else []


def host_jobs(fuzz_seconds):
    """All of it, but for what compiles much again. Each fuzz target runs for so many seconds."""
    header = "lib/include/gcheap.h"
    uapi = "uapi/linux/gcheap.h"
    warn = ["-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    jobs = [
        check_job("size-classes", size_classes),
        check_job("licence-lines", licence_lines),
        check_job("checkpatch", checkpatch),
        check_job("exports", exports),
        check_job("probe-answers", probe_answers),
        step_job("layers", ["scripts/check-layers"]),
        program_job("layers-check", "selftests/check-layers"),
        step_job("public-header",
                 ["gcc", "-std=c11", *warn, "-Ilib/include", "-x", "c", header],
                 ["g++", "-std=c++17", *warn, "-Ilib/include", "-x", "c++", header]),
        step_job("uapi-header",
                 ["gcc", "-std=c99", *warn, "-Iuapi", "-x", "c", uapi],
                 ["gcc", "-m32", "-std=c99", *warn, "-Iuapi", "-I/usr/include/x86_64-linux-gnu", "-x", "c", uapi],
                 ["g++", "-std=c++17", *warn, "-Iuapi", "-x", "c++", uapi]),
        program_job("abi", "selftests/check-abi"),
        program_job("setup", "selftests/check-setup"),
        program_job("guards", "selftests/check-guards"),
        step_job("fast-path", ["selftests/check-fast-path"]),
        program_job("type-macros", "selftests/check-type-macros"),
        program_job("header", "selftests/check-header"),
        program_job("examples", "selftests/check-examples", GCHEAP_BACKEND="local"),
        step_job("install", ["selftests/check-install", f"{Logs.folder}/install"]),
    ]
    for test in tests_of("selftests/core", "test_*.c"):
        jobs.append(program_job(f"asan/core/{test}", f"{BUILD}/asan/selftests/core/{test}", GCHEAP_BACKEND="local"))
    for test in tests_of("selftests/library", "test_*.c"):
        jobs.append(program_job(f"asan/library/{test}", f"{BUILD}/asan/selftests/library/{test}",
                                GCHEAP_BACKEND="local"))
        jobs.append(program_job(f"native/library/{test}", f"{BUILD}/selftests/library-shared/{test}",
                                GCHEAP_BACKEND="local"))
    for test in tsan_tests():
        jobs.append(program_job(f"tsan/library/{test}", f"{BUILD}/tsan/selftests/library/{test}",
                                GCHEAP_BACKEND="local"))
    jobs += [fuzz_job(target, fuzz_seconds) for target in tests_of("selftests/fuzz", "fuzz_*.c")]
    return jobs


def compile_jobs(kernels):
    """The module through sparse, and without options that Debian's kernels have."""
    return [step_job(f"sparse-{kernel}", ["make", "sparse", f"KDIR={CACHE}/kernels/{kernel}/build"])
            for kernel in kernels] + \
        [step_job(f"options-off-{kernel}", ["selftests/check-options", kernel]) for kernel in kernels]


def build_elsewhere_job():
    """Everything is compiled again, so it takes minutes."""
    return program_job("build-elsewhere", "selftests/check-build")

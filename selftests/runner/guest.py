# SPDX-License-Identifier: MIT
"""Programs that need /dev/gcheap: which there are, and the virtual machines they run in.

The guest prints a line with a random mark before and after each program. A program that hangs, or at which the guest
dies, has failed, and those after it run in another guest."""

import os
import re
import secrets
import subprocess
import time

from runner.checks import tests_of
from runner.jobs import BUILD, CACHE, ROOT, Job, Logs, show, step_job
from runner.tap import Result, count_tap, excerpt

# Kernels that look for errors, and how many times as long all takes there.
SLOWER = {"debug": 8, "kcsan": 8}
# Limits in seconds of the guest's own time: without a word from a program, and for a guest with all its programs.
QUIET_SECONDS = 600
GUEST_SECONDS = 3600
BOOTS = 4                   # guests that one job may take

# Time for the fuzzer of the ABI.
ABI_SECONDS = {"debug": 300, "kcsan": 300}
ABI_SECONDS_ELSEWHERE = 20

# The core's unit tests as a module for the debug kernel.
KUNIT_MODULE = f"{BUILD}/kunit/debug/gcheap_kunit.ko"

# What programs of the guest need besides themselves.
GUEST_FILES = [f"{BUILD}/examples/{name}" for name in ("lisp", "binary-trees", "quickstart", "intern")] + ["examples/lisp"]

# What several threads do at once: what runs on the kernel that looks for data races.
RACES = ("thread", "uring", "track", "mapping", "ownership", "observability", "pressure", "cycle", "chunk", "huge",
         "fuzz_abi", "stop", "mutation", "marker", "model", "heap_each", "finalizer", "weak", "ephemeron", "pins", "holders")

# Seconds that programs take on the debug kernel, in an emulated guest, where it is not about AVERAGE.
LONG = {"fuzz_abi": ABI_SECONDS["debug"], "kselftest/fail_nth_test": 400, "kselftest/memcg_test": 100,
        "kselftest/scatter_test": 100, "kselftest/thread_test": 130, "kselftest/fail_uring_test": 120,
        "kselftest/track_stress_test": 60, "kselftest/huge_test": 100, "kselftest/chunk_test": 90,
        "kselftest/owner_exit_test": 85, "kselftest/types_test": 85, "kselftest/mapping_test": 80, "kselftest/setup_test": 70,
        "kselftest/uring_end_test": 60, "kunit": 350}
AVERAGE = 30


def programs_of(kernel):
    """All that can run on a kernel, as (name, path); after the path there may be a file that it needs."""
    programs = [(f"kselftest/{test}", f"{BUILD}/selftests/gcheap/{test}")
                for test in tests_of("selftests/gcheap", "*_test.c")]
    programs += [(f"library/{test}", f"{BUILD}/selftests/library/{test}")
                 for test in tests_of("selftests/library", "test_*.c")]
    programs.append(("examples", "selftests/check-examples"))
    programs.append(("soak", f"{BUILD}/selftests/soak/soak"))
    programs.append(("fuzz_abi", f"{BUILD}/selftests/gcheap/fuzz_abi"))
    if kernel == "debug":
        programs.append(("kunit", f"selftests/kunit/run {KUNIT_MODULE}"))
    if kernel == "kcsan":
        programs = [(name, path) for name, path in programs if any(word in name for word in RACES)]
    return programs


def halves(programs):
    """Programs for two virtual machines side by side, which take about as long: the longest first, each to whom has less
    to do. Within a machine they run in their own order."""
    parts = [[], []]
    seconds = [0, 0]
    for entry in sorted(programs, key=lambda entry: -LONG.get(entry[0], AVERAGE)):
        part = seconds.index(min(seconds))
        parts[part].append(entry)
        seconds[part] += LONG.get(entry[0], AVERAGE)
    return [[entry for entry in programs if entry in part] for part in parts]


def kernel_is_there(kernel):
    return os.path.exists(f"{CACHE}/kernels/{kernel}/vmlinuz")


def build_job(kernel):
    """The kernel, if it is not in the cache, and the modules for it."""
    place = f"{CACHE}/kernels/{kernel}/build"
    commands = [["make", "module", f"KDIR={place}"]]
    if kernel in SLOWER:
        commands.insert(0, ["scripts/build-debug-kernel", kernel])
    if kernel == "debug":
        commands.append(["selftests/kunit/build", place, os.path.dirname(KUNIT_MODULE)])
    return step_job(f"build-{kernel}", *commands, limit=3 * 3600)


UPTIME = "$(cut -d' ' -f1 /proc/uptime)"


def write_batch(path, mark, programs):
    """The script that a guest runs."""
    with open(path, "w") as file:
        file.write("#!/bin/sh\n")
        for number, (test, program) in enumerate(programs):
            file.write(f"echo 'test: {test}' >/dev/kmsg\n"
                       f"echo \"{mark} begin {number} {UPTIME}\"\n"
                       f"{ROOT}/{program} </dev/null 2>&1\n"
                       f"status=$?\n"
                       f"echo; echo \"{mark} end {number} {UPTIME} $status\"\n")
    os.chmod(path, 0o755)


def read_batch(output, mark, name, programs):
    """The results of the programs of a batch that have begun."""
    results = []
    for number, (test, _) in enumerate(programs):
        begin = re.search(rf"^{mark} begin {number} ([\d.]+)\n", output, re.MULTILINE)
        if not begin:
            break
        end = re.search(rf"^{mark} end {number} ([\d.]+) (\d+)$", output, re.MULTILINE)
        text = output[begin.end():end.start() if end else len(output)]
        result = Result(f"{name}/{test}")
        Logs.write(result.name, text)
        if end:
            result.seconds = float(end.group(1)) - float(begin.group(1))
            count_tap(result, text, int(end.group(2)))
        else:
            result.fail("hung, or the guest died: see what is said of the guest")
        if result.failed:
            result.excerpt = excerpt(text)
        results.append(result)
    return results


def run_guest(kernel, name, programs, options):
    """Boots a kernel and runs programs; the guest's own result, and those of the programs that began."""
    mark = f"@{secrets.token_hex(8)}"
    batch = f"{Logs.folder}/{name}.sh"
    write_batch(batch, mark, programs)
    fuzz_seconds = int(os.environ.get("FUZZ_SECONDS") or ABI_SECONDS.get(kernel, ABI_SECONDS_ELSEWHERE))
    slower = SLOWER.get(kernel, 1)
    command = ["vm/run", "--kernel", kernel, "--no-build", "--mem", "3G", "--log", f"{Logs.folder}/{name}.kernel.log",
               "--time", str(GUEST_SECONDS * slower + fuzz_seconds),
               "--quiet-time", str(QUIET_SECONDS * slower + fuzz_seconds),
               "--env", "CMOCKA_MESSAGE_OUTPUT=TAP", "--env", "GCHEAP_BACKEND=device",
               "--env", f"FUZZ_SECONDS={fuzz_seconds}", *options]
    for path in [file for _, path in programs for file in path.split()] + GUEST_FILES:
        command += ["--add", path]
    guest = Result(f"{name}/guest")
    start = time.monotonic()
    with open(f"{Logs.folder}/{name}.stderr", "wb") as errors:
        process = subprocess.run([*command, "--", batch], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=errors, check=False)
    guest.seconds = time.monotonic() - start
    with open(f"{Logs.folder}/{name}.stderr", errors="replace") as errors:
        said = errors.read()
    for line in said.splitlines():
        if " under " in line:
            show(line)
    if process.returncode == 0:
        guest.passed = 1
    else:
        guest.fail(f"vm/run: status {process.returncode}")
        guest.excerpt = said[-12000:]
    output = process.stdout.decode(errors="replace")
    Logs.write(name, output)
    return guest, read_batch(output, mark, name, programs)


def vm_job(kernel, wanted, part="", options=(), needs=None):
    """Programs that need /dev/gcheap on one kernel, with more options for vm/run."""
    name = f"vm-{kernel}{part}"

    def job():
        results, programs = [], []
        for test, path in wanted:
            gone = [file for file in path.split() if not os.path.exists(file)]
            if gone:
                results.append(Result(f"{name}/{test}"))
                results[-1].fail(f"{gone[0]} was not built")
            else:
                programs.append((test, path))
        for boot in range(BOOTS):
            again = f"{name}-again{boot}" if boot else name
            guest, ran = run_guest(kernel, again, programs, options)
            results += [guest, *ran]
            programs = programs[len(ran):]
            if not programs or not ran:
                break
        for test, _ in programs:
            results.append(Result(f"{name}/{test}"))
            results[-1].fail("did not run: the guest died before")
        return results
    return Job(name, job, needs)

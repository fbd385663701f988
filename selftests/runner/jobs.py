# SPDX-License-Identifier: MIT
"""Jobs: how one is made of a command, a program or a function, and how all are run, two at a time, and counted."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time

from runner.tap import Result, count_tap, describe, excerpt

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = "build"
CACHE = os.environ.get("GCHEAP_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "gcheap")
LIMIT = 1800                # seconds for what runs on this machine, so many that only what hangs takes them
WORKERS = 2                 # jobs at a time
SLOWEST = 10                # of so many jobs the times are printed at the end


class Job:
    """Something to run. function() returns the results; it begins when the job `needs`, if any, has ended."""

    def __init__(self, name, function, needs=None):
        self.name = name
        self.function = function
        self.needs = needs


class Logs:
    """The folder in which all that is printed is kept."""
    folder = f"{BUILD}/check"

    @classmethod
    def begin(cls, folder):
        cls.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)

    @classmethod
    def path(cls, name):
        return f"{cls.folder}/{name.replace('/', '-')}.log"

    @classmethod
    def write(cls, name, text):
        with open(cls.path(name), "w") as file:
            file.write(text)


def run(command, limit=LIMIT, where=None, **environment):
    """Runs a command; its output (both streams) and its status, -9 when it took too long."""
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        os.environ.pop(name, None)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               cwd=where, env={**os.environ, **environment}, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=limit)
        return output.decode(errors="replace"), process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        return output.decode(errors="replace") + f"\n(killed after {limit} s)\n", -9


def program_job(name, path, arguments=(), **environment):
    """A test program that prints TAP."""
    def job():
        result = Result(name)
        if not os.path.exists(path):
            result.fail(f"{path} was not built")
            return [result]
        start = time.monotonic()
        output, status = run([path, *arguments], CMOCKA_MESSAGE_OUTPUT="TAP", **environment)
        result.seconds = time.monotonic() - start
        Logs.write(name, output)
        count_tap(result, output, status)
        if result.failed:
            result.excerpt = excerpt(output)
        return [result]
    return Job(name, job)


def fuzz_job(target, seconds):
    """A libFuzzer target for a time: one test, which passes when it finds nothing. It starts from what it has found
    before and from the committed corpus, a text file with an input a line in hexadecimal. The input of a crash stays
    in build/fuzz/."""
    name = f"fuzz/{target}"

    def job():
        result = Result(name)
        found, seeds = f"{BUILD}/fuzz/{target}.found", f"{BUILD}/fuzz/{target}.seeds"
        shutil.rmtree(seeds, ignore_errors=True)
        for folder in (found, seeds):
            os.makedirs(folder, exist_ok=True)
        with open(f"selftests/fuzz/{target}.corpus") as file:
            for number, line in enumerate(file, 1):
                if line.split("#")[0].strip():
                    with open(f"{seeds}/line-{number}", "wb") as seed:
                        seed.write(bytes.fromhex(line.split("#")[0]))
        start = time.monotonic()
        output, status = run([f"{BUILD}/fuzz/{target}", f"-max_total_time={seconds}", "-max_len=1024",
                              "-timeout=60", "-print_final_stats=1", f"-artifact_prefix={BUILD}/fuzz/{target}-",
                              found, seeds], limit=LIMIT + seconds)
        result.seconds = time.monotonic() - start
        Logs.write(name, output)
        if status == 0 and re.search(r"^Done \d+ runs", output, re.MULTILINE):
            result.passed = 1
        else:
            result.fail(f"status {describe(status)}")
            result.excerpt = excerpt(output)
        return [result]
    return Job(name, job)


def step_job(name, *commands, limit=LIMIT, needs=None):
    """One test that passes when all the commands end with status 0."""
    def job():
        result = Result(name)
        start = time.monotonic()
        log = ""
        for command in commands:
            output, status = run(command, limit=limit)
            log += f"$ {shlex.join(command)}\n{output}"
            if status != 0:
                result.fail(f"{shlex.join(command)[:120]}: status {describe(status)}")
                result.excerpt = excerpt(output)
                break
        else:
            result.passed = 1
        result.seconds = time.monotonic() - start
        Logs.write(name, log)
        return [result]
    return Job(name, job, needs)


def check_job(name, function):
    """One test that passes when function() returns no complaints."""
    def job():
        result = Result(name)
        start = time.monotonic()
        complaints = function()
        result.seconds = time.monotonic() - start
        Logs.write(name, "".join(line + "\n" for line in complaints))
        if complaints:
            result.fail(f"{len(complaints)} complaints")
            result.excerpt = "\n".join(complaints[:60])
        else:
            result.passed = 1
        return [result]
    return Job(name, job)


printing = threading.Lock()


def show(text):
    with printing:
        print(text, flush=True)


def run_one(job):
    """Runs a job and prints what became of it. One that breaks has failed, and the others go on."""
    try:
        results = job.function()
    except Exception as error:
        results = [Result(job.name)]
        results[0].fail(f"{type(error).__name__}: {error}")
    for result in results:
        show(result.text())
    return results


class Queue:
    """Jobs in order, for several workers: each takes the first of which all that it needs has ended."""

    def __init__(self, jobs):
        self.waiting = list(jobs)
        self.ended = set()
        self.names = {job.name for job in jobs}
        self.results = []
        self.changed = threading.Condition()

    def next(self):
        """The next job, or None when there is none left to begin."""
        with self.changed:
            while self.waiting:
                for job in self.waiting:
                    if job.needs not in self.names or job.needs in self.ended:
                        self.waiting.remove(job)
                        return job
                self.changed.wait()
        return None

    def work(self):
        while job := self.next():
            results = run_one(job)
            with self.changed:
                self.results += results
                self.ended.add(job.name)
                self.changed.notify_all()


def run_jobs(jobs):
    """Runs jobs, WORKERS at a time; their results."""
    queue = Queue(jobs)
    workers = [threading.Thread(target=queue.work) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return queue.results


def finish(results, began):
    """Prints the slowest jobs and the counts, and ends the program."""
    slowest = sorted((result for result in results if result.seconds >= 1), key=lambda result: -result.seconds)
    if len(slowest) > 1:
        show(f"\nthe slowest, of {time.monotonic() - began:.0f} s:")
        for result in slowest[:SLOWEST]:
            show(f"{result.seconds:7.1f} s  {result.name}")
    broken = [result.name for result in results if result.failed]
    if broken:
        show(f"\nfailed: {', '.join(broken)}; logs are in {Logs.folder}/")
    passed, failed, skipped = (sum(getattr(result, count) for result in results)
                               for count in ("passed", "failed", "skipped"))
    show(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(0 if passed and not failed else 1)

# SPDX-License-Identifier: MIT
"""What became of a job, and how it is told from what a program printed: TAP, and the exit status."""

import re

KSFT_SKIP = 4               # exit status of a kselftest that could not run


class Result:
    """What became of one job: how many tests passed, failed and were skipped, and what to show people about it."""

    def __init__(self, name):
        self.name = name
        self.passed = self.failed = self.skipped = 0
        self.seconds = 0.0
        self.notes = []         # one line for each failure
        self.excerpt = ""       # what to print when it failed

    def fail(self, note):
        self.failed += 1
        self.notes.append(note)

    def line(self):
        word = "FAIL" if self.failed else "ok  " if self.passed else "skip"
        return f"{word}  {self.name}: {counts_of([self])} ({self.seconds:.1f} s)"

    def text(self):
        """The line, and below it what people need when it failed."""
        text = self.line()
        for note in self.notes[:20]:
            text += f"\n        {note}"
        if self.failed and self.excerpt:
            text += "\n" + "\n".join("      | " + line for line in self.excerpt.splitlines())
        return text


def counts_of(results):
    """How many passed, and how many failed and were skipped if any did."""
    passed, failed, skipped = (sum(getattr(result, count) for result in results)
                               for count in ("passed", "failed", "skipped"))
    counts = f"{passed} passed"
    if failed:
        counts += f", {failed} failed"
    if skipped:
        counts += f", {skipped} skipped"
    return counts


TEST_LINE = re.compile(r"^(not ok|ok)\b\s*(\d*)\s*-?\s*(.*)$")
PLAN_LINE = re.compile(r"^1\.\.(\d+)\s*(#\s*skip.*)?$", re.IGNORECASE)
SKIPPED = re.compile(r"#\s*(skip|xfail)", re.IGNORECASE)


def count_tap(result, output, status):
    """Adds to result what a program's output and exit status say. Several plans in one output add up (cmocka prints one
    a group). A program without TAP is one test, judged by its status."""
    planned = None
    seen = 0
    skipped_by_plan = 0
    for line in output.splitlines():
        plan = PLAN_LINE.match(line)
        if plan:
            planned = (planned or 0) + int(plan.group(1))
            if plan.group(1) == "0":
                skipped_by_plan += 1
            continue
        if line.startswith("Bail out!"):
            result.fail(line)
            continue
        test = TEST_LINE.match(line)
        if not test:
            continue
        seen += 1
        if SKIPPED.match(test.group(3)) or (test.group(1) == "ok" and SKIPPED.search(test.group(3))):
            result.skipped += 1         # cmocka says "not ok 2 # SKIP name"
        elif test.group(1) == "not ok":
            result.fail(line)
        else:
            result.passed += 1
    result.skipped += skipped_by_plan
    if planned is None and seen == 0:
        if status == 0:
            result.passed += 1
        elif status == KSFT_SKIP:
            result.skipped += 1
        else:
            result.fail(f"status {describe(status)}")
        return
    if planned is None:
        result.fail("printed results but no plan")
    elif planned != seen:
        result.fail(f"planned {planned} tests, printed {seen}")
    explained = result.failed or (status == KSFT_SKIP and result.passed == 0)
    if status != 0 and (status >= 128 or not explained):
        result.fail(f"status {describe(status)}")


def describe(status):
    """An exit status for people."""
    if status in (137, -9):
        return f"{status} (killed: too slow, or out of memory)"
    if status > 128:
        return f"{status} (signal {status - 128})"
    if status < 0:
        return f"{128 - status} (signal {-status})"
    return str(status)


def excerpt(output, lines=60):
    """The parts of a program's output that say why it failed."""
    kept = output.splitlines()
    wanted = set()
    for number, line in enumerate(kept):
        if re.search(r"^not ok|ERROR: |runtime error|Assertion|error:|warning:|^Bail out", line):
            wanted.update(range(max(0, number - 8), min(len(kept), number + 12)))
    if not wanted:
        return "\n".join(kept[-lines:])
    chosen = sorted(wanted)[:2 * lines]
    parts, last = [], None
    for number in chosen:
        if last is not None and number != last + 1:
            parts.append("...")
        parts.append(kept[number])
        last = number
    return "\n".join(parts)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Compute the size classes of small objects, and print them as C.

A size class is a slot size, and the number of heap pages that a span of such slots takes. The rules are those of Go's
runtime, and with the default options the outcome is its table of 68 classes:

- Candidates grow by a step that keeps slots aligned: 8 bytes at first, 16 from 32 bytes on, an eighth of the last power
  of two from 128 on, and never more than 256.
- A span has the fewest pages that waste at most --max-waste of it behind its last slot.
- A candidate that has the same pages and as many slots as the one before replaces it.
- At last each class takes what its slots can grow by without there being fewer of them, in steps of 128 bytes.

Usage: mksizeclasses.py --header >common/size_classes.h
       mksizeclasses.py --source >common/size_classes.c
"""

import argparse
import fractions
import os
import sys
import typing

SLOT_BYTES_MIN = 8  # the smallest class
SLOT_BYTES_HANDED_OUT = 16  # smaller classes have no mark bit of their own
SLOT_BYTES_MAX = 32768
SMALL_MAX = 1024  # up to here the lookup goes by steps of SMALL_STEP, above by LARGE_STEP
SMALL_STEP = 8
LARGE_STEP = 128
STEP_MAX = 256
SPAN_PAGES_MAX = 16  # a PAGES entry has four bits for a page's place in its span


class SizeClass(typing.NamedTuple):
    """Slots of one size, in spans of one length."""

    slot_bytes: int
    pages: int


def is_power_of_two(n: int) -> bool:
    return n > 0 and n & (n - 1) == 0


def candidate_step(slot_bytes: int, step: int) -> int:
    """The distance from a candidate of slot_bytes to the next one."""
    if not is_power_of_two(slot_bytes):
        return step
    if slot_bytes >= 8 * STEP_MAX:
        return STEP_MAX
    if slot_bytes >= 128:
        return slot_bytes // 8
    if slot_bytes >= 32:
        return 16
    return step


def span_pages(slot_bytes: int, page_bytes: int, max_waste: fractions.Fraction) -> int:
    """The fewest pages whose tail, too short for a slot, is within the limit."""
    pages = 1
    while pages * page_bytes % slot_bytes > int(pages * page_bytes * max_waste):
        pages += 1
    return pages


def make_classes(page_bytes: int, max_waste: fractions.Fraction) -> list[SizeClass]:
    """All size classes. Number 0 is none: it stands for objects that are too large."""
    classes: list[SizeClass] = []
    slot_bytes = step = SLOT_BYTES_MIN
    while slot_bytes <= SLOT_BYTES_MAX:
        pages = span_pages(slot_bytes, page_bytes, max_waste)
        span_bytes = pages * page_bytes
        if classes and classes[-1].pages == pages and span_bytes // classes[-1].slot_bytes == span_bytes // slot_bytes:
            classes.pop()
        classes.append(SizeClass(slot_bytes, pages))
        step = candidate_step(slot_bytes, step)
        slot_bytes += step

    for i, (slot_bytes, pages) in enumerate(classes):
        span_bytes = pages * page_bytes
        largest = span_bytes // (span_bytes // slot_bytes)
        classes[i] = SizeClass(max(slot_bytes, largest - largest % LARGE_STEP), pages)
    return [SizeClass(0, 0), *classes]


def magic(slot_bytes: int) -> int:
    """For a byte offset d in a span, d // slot_bytes is (d * magic) >> 32."""
    return 0xFFFFFFFF // slot_bytes + 1 if slot_bytes else 0


def lookup(classes: list[SizeClass], first: int, last: int, step: int) -> list[int]:
    """The class that serves first + i * step bytes, for each i, up to last."""
    table = []
    for slot_bytes in range(first, last + 1, step):
        needed = max(slot_bytes, SLOT_BYTES_HANDED_OUT)
        table.append(next(i for i, c in enumerate(classes) if c.slot_bytes >= needed))
    return table


def check(classes: list[SizeClass], page_bytes: int) -> None:
    """Whatever the options, the tables must fit their types and the users of them."""
    if classes[-1].slot_bytes != SLOT_BYTES_MAX:
        sys.exit("mksizeclasses: the largest class is %d, not %d bytes" % (classes[-1].slot_bytes, SLOT_BYTES_MAX))
    if len(classes) > 128:
        sys.exit("mksizeclasses: %d classes; a PAGES entry has seven bits" % len(classes))
    for slot_bytes, pages in classes[1:]:
        if pages > SPAN_PAGES_MAX:
            sys.exit("mksizeclasses: class of %d bytes: %d pages a span" % (slot_bytes, pages))
        # With this, (d * magic) >> 32 is right in the whole span: at each last byte of a slot it is not yet too large.
        span_bytes = pages * page_bytes
        error = magic(slot_bytes) * slot_bytes - (1 << 32)
        if error * (span_bytes // slot_bytes + 1) >= 1 << 32 or magic(slot_bytes) >= 1 << 32:
            sys.exit("mksizeclasses: class of %d bytes: no reciprocal of 32 bits" % slot_bytes)


def overview(classes: list[SizeClass], page_bytes: int) -> list[str]:
    """A table of the classes, for readers."""
    lines = ["class  bytes/slot  bytes/span  slots  tail waste  max waste  min align"]
    for i, (slot_bytes, pages) in enumerate(classes):
        if not i:
            continue
        span_bytes = pages * page_bytes
        slots = span_bytes // slot_bytes
        tail = span_bytes - slots * slot_bytes
        # Every slot holds an object one byte larger than what the class below takes.
        waste = slots * (slot_bytes - classes[i - 1].slot_bytes - 1) + tail
        align = min(slot_bytes & -slot_bytes, page_bytes)
        lines.append(
            "%5d  %10d  %10d  %5d  %10d  %8.2f%%  %9d"
            % (i, slot_bytes, span_bytes, slots, tail, 100 * waste / span_bytes, align)
        )
    return lines


def c_table(declaration: str, values: typing.Sequence[object]) -> list[str]:
    """A definition of an array, its lines at most 80 columns wide."""
    lines = [declaration + " = {"]
    line = ""
    for value in values:
        item = "%s," % value
        if len(line) + len(item) + 1 > 72:
            lines.append("\t" + line)
            line = ""
        line += " " + item if line else item
    return [*lines, "\t" + line, "};", ""]


def header(classes: list[SizeClass], args: argparse.Namespace) -> list[str]:
    small = len(lookup(classes, 0, SMALL_MAX, SMALL_STEP))
    large = len(lookup(classes, SMALL_MAX, SLOT_BYTES_MAX, LARGE_STEP))
    return [
        "/* SPDX-License-Identifier: GPL-2.0-only OR MIT */",
        "/*",
        " * The size classes of small objects. Made by scripts/mksizeclasses.py with",
        " * --page-bytes=%d --max-waste=%s: do not edit." % (args.page_bytes, args.max_waste),
        " *",
        *(" * " + line for line in overview(classes, args.page_bytes)),
        " *",
        " * Tail waste: bytes behind the last slot. Max waste: with objects one byte",
        " * larger than the class below takes. Class 0 is none, and no span has slots",
        " * of less than %d bytes: what is smaller gets them all the same." % SLOT_BYTES_HANDED_OUT,
        " */",
        "#ifndef GCHEAP_SIZE_CLASSES_H",
        "#define GCHEAP_SIZE_CLASSES_H",
        "",
        '#include "base.h"',
        "",
        "#define SIZE_CLASSES\t\t%du" % len(classes),
        "#define SIZE_CLASS_MAX_BYTES\t%du" % SLOT_BYTES_MAX,
        "",
        "/* The lookup goes by steps of SMALL_STEP up to SMALL_MAX, by LARGE_STEP above. */",
        "#define SIZE_CLASS_SMALL_MAX\t%du" % SMALL_MAX,
        "#define SIZE_CLASS_SMALL_STEP\t%du" % SMALL_STEP,
        "#define SIZE_CLASS_LARGE_STEP\t%du" % LARGE_STEP,
        "",
        "/* By class: bytes of a slot, heap pages of a span, slots of a span without tail. */",
        "extern const u32 size_class_bytes[SIZE_CLASSES];",
        "extern const u8 size_class_pages[SIZE_CLASSES];",
        "extern const u16 size_class_slots[SIZE_CLASSES];",
        "",
        "/* By class: slot number = (byte offset in the span * magic) >> 32. */",
        "extern const u32 size_class_magic[SIZE_CLASSES];",
        "",
        "/* By bytes / 8, rounded up; by (bytes - SIZE_CLASS_SMALL_MAX) / 128, rounded up. */",
        "extern const u8 size_to_class%d[%d];" % (SMALL_STEP, small),
        "extern const u8 size_to_class%d[%d];" % (LARGE_STEP, large),
        "",
        "/* The class for objects of @bytes: at most SIZE_CLASS_MAX_BYTES. */",
        "static inline u32 size_class_of(u64 bytes)",
        "{",
        "\tif (bytes <= SIZE_CLASS_SMALL_MAX)",
        "\t\treturn size_to_class%d[DIV_ROUND_UP((u32)bytes, SIZE_CLASS_SMALL_STEP)];" % SMALL_STEP,
        "\treturn size_to_class%d[DIV_ROUND_UP((u32)bytes - SIZE_CLASS_SMALL_MAX," % LARGE_STEP,
        "\t\t\t\t\t  SIZE_CLASS_LARGE_STEP)];",
        "}",
        "",
        "#endif /* GCHEAP_SIZE_CLASSES_H */",
    ]


def source(classes: list[SizeClass], args: argparse.Namespace) -> list[str]:
    slots = [c.pages * args.page_bytes // c.slot_bytes if c.slot_bytes else 0 for c in classes]
    small = lookup(classes, 0, SMALL_MAX, SMALL_STEP)
    large = lookup(classes, SMALL_MAX, SLOT_BYTES_MAX, LARGE_STEP)
    lines = [
        "// SPDX-License-Identifier: GPL-2.0-only OR MIT",
        "/*",
        " * The size classes' tables. Made by scripts/mksizeclasses.py with",
        " * --page-bytes=%d --max-waste=%s: do not edit." % (args.page_bytes, args.max_waste),
        " */",
        '#include "size_classes.h"',
        "",
        *c_table("const u32 size_class_bytes[SIZE_CLASSES]", [c.slot_bytes for c in classes]),
        *c_table("const u8 size_class_pages[SIZE_CLASSES]", [c.pages for c in classes]),
        *c_table("const u16 size_class_slots[SIZE_CLASSES]", slots),
        *c_table("const u32 size_class_magic[SIZE_CLASSES]", ["0x%08x" % magic(c.slot_bytes) for c in classes]),
        *c_table("const u8 size_to_class%d[%d]" % (SMALL_STEP, len(small)), small),
        *c_table("const u8 size_to_class%d[%d]" % (LARGE_STEP, len(large)), large),
    ]
    return lines[:-1]


def max_waste_argument(text: str) -> fractions.Fraction:
    try:
        waste = fractions.Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError("not a number: %r" % text) from None
    if not 0 < waste <= 1:
        raise argparse.ArgumentTypeError("not over 0 and up to 1: %r" % text)
    return waste


def page_bytes_argument(text: str) -> int:
    if not text.isdecimal() or not is_power_of_two(int(text)) or int(text) < 1024 or int(text) > 65536:
        raise argparse.ArgumentTypeError("not a power of two from 1024 to 65536: %r" % text)
    return int(text)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compute the size classes of small objects, and print them as C.")
    parser.add_argument(
        "--max-waste",
        type=max_waste_argument,
        default="1/8",
        help="part of a span that may be too short for a slot, as 1/8 or 0.125 (default: %(default)s)",
    )
    parser.add_argument("--page-bytes", type=page_bytes_argument, default="8192", help="heap page (default: %(default)s)")
    output = parser.add_mutually_exclusive_group(required=True)
    output.add_argument("--header", action="store_true", help="print size_classes.h")
    output.add_argument("--source", action="store_true", help="print size_classes.c")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    classes = make_classes(args.page_bytes, args.max_waste)
    check(classes, args.page_bytes)
    lines = header(classes, args) if args.header else source(classes, args)
    try:
        print("\n".join(lines), flush=True)
    except OSError as error:
        # The interpreter's own flush at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit("mksizeclasses: cannot write: %s" % error.strerror)


if __name__ == "__main__":
    main()

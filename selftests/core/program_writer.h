/* SPDX-License-Identifier: MIT */
/*
 * GC programs that tests write, instruction by instruction, and checks of what becomes
 * of them. Bits are a byte each.
 */
#ifndef SELFTESTS_CORE_PROGRAM_WRITER_H
#define SELFTESTS_CORE_PROGRAM_WRITER_H

#include "gc_program.h"

/**
 * struct writer - a program that a test writes
 * @code: its bytes
 * @bytes: how many there are
 */
struct writer {
	u8 code[GCHEAP_GC_PROG_MAX + 64];
	u32 bytes;
};

/* A byte; 0 ends a program. */
void program_put(struct writer *w, u8 byte);
/* At most 127 bits. */
void program_put_literal(struct writer *w, const u8 *bits, u32 count);
/* The last @n bits again, @times times; @wide: in the long form, whatever @n is. */
void program_put_repeat(struct writer *w, u64 n, u64 times, bool wide);

/*
 * Checks a program of @bytes, of which the sanitizer sees the end, for @words words. @at
 * gets the wrong instruction, unless it is NULL.
 */
enum gc_program_error program_check(const u8 *code, u32 bytes, u64 words, u32 *at);
/* Fails the test when a program does not emit just these bits. */
void program_assert_emits(const u8 *code, u32 bytes, const u8 *bits, u64 words);

#endif /* SELFTESTS_CORE_PROGRAM_WRITER_H */

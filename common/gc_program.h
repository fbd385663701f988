/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * GC programs: pointer masks in the compressed form of Go's compiler, for types
 * that are long arrays. See struct gcheap_type_add for the encoding.
 */
#ifndef GCHEAP_GC_PROGRAM_H
#define GCHEAP_GC_PROGRAM_H

#include "base.h"

/**
 * enum gc_program_error - what is wrong with a program
 * @GC_PROGRAM_OK: nothing
 * @GC_PROGRAM_TRUNCATED: it ends within an instruction, or without the byte 0
 * @GC_PROGRAM_TRAILING: bytes follow the byte 0
 * @GC_PROGRAM_PADDING: bits after the last one of a literal are not zero
 * @GC_PROGRAM_VARINT_LONG: a number has more bytes than it needs
 * @GC_PROGRAM_VARINT_OVERFLOW: a number does not fit in 64 bits
 * @GC_PROGRAM_REPEAT_NOTHING: a repeat of 0 bits
 * @GC_PROGRAM_REPEAT_UNWRITTEN: a repeat of more bits than were emitted
 * @GC_PROGRAM_LONG: it emits more bits than the type has pointer words
 * @GC_PROGRAM_SHORT: it emits fewer
 */
enum gc_program_error {
	GC_PROGRAM_OK,
	GC_PROGRAM_TRUNCATED,
	GC_PROGRAM_TRAILING,
	GC_PROGRAM_PADDING,
	GC_PROGRAM_VARINT_LONG,
	GC_PROGRAM_VARINT_OVERFLOW,
	GC_PROGRAM_REPEAT_NOTHING,
	GC_PROGRAM_REPEAT_UNWRITTEN,
	GC_PROGRAM_LONG,
	GC_PROGRAM_SHORT,
};

/**
 * struct gc_program - a program, and how far it has been read
 * @code: the program
 * @bytes: its length, GCHEAP_GC_PROG_MAX at most
 * @words: how many bits it should emit
 * @at: offset of the next instruction; after an error, of the wrong instruction
 * @emitted: bits emitted so far
 */
struct gc_program {
	const u8 *code;
	u32 bytes;
	u64 words;
	u32 at;
	u64 emitted;
};

/**
 * struct gc_instruction - one instruction, valid
 * @literal: the bits to emit, or NULL: a repeat
 * @bits: how many; 0: the end of the program
 * @times: of a repeat
 */
struct gc_instruction {
	const u8 *literal;
	u64 bits;
	u64 times;
};

/**
 * gc_program_next() - read one instruction
 * @program: where; goes on behind it, and counts what it emits, only when nothing is
 *	wrong with it
 * @instruction: receives it
 *
 * Return: what is wrong with it, by itself or after those before, or GC_PROGRAM_OK.
 */
enum gc_program_error gc_program_next(struct gc_program *program,
				      struct gc_instruction *instruction);

/**
 * gc_program_check() - read a program without unrolling it
 * @program: @code, @bytes and @words are set, the others 0
 *
 * Takes time by the length of the program, not of what it emits.
 *
 * Return: what is wrong with the instruction at @program->at, or GC_PROGRAM_OK.
 */
enum gc_program_error gc_program_check(struct gc_program *program);

/**
 * gc_program_unroll() - emit the bits of a program
 * @program: as for gc_program_check(), which finds no error in it
 * @mask: receives one bit for each of @words, in whole 64-bit words, the last one
 *	padded with zeros; when this fails, its content is undefined
 * @stride: the distance of these words from each other, in words: 1 or more
 * @interrupted: asked now and then, some 10 us apart, whether to end early; NULL: never
 *
 * Takes one step for each literal, and for every 32 bits or more of a repeat. What
 * a repeat repeats is read from @mask: there is no other memory.
 *
 * Return: 0; -EINVAL a bad program; -EINTR @interrupted said so.
 */
int gc_program_unroll(struct gc_program *program, u64 *mask, u32 stride,
		      bool (*interrupted)(void));

/**
 * gc_program_first_word() - emit the first 64 bits of a program, or what there is
 * @program: as for gc_program_check(), which finds no error in it
 *
 * Takes time by the length of the program at most.
 */
u64 gc_program_first_word(const struct gc_program *program);

#endif /* GCHEAP_GC_PROGRAM_H */

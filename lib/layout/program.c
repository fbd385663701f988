// SPDX-License-Identifier: MIT
/*
 * GC programs where there is no mask. The interpreter is the module's, whose table
 * has only programs that it has found to be in order.
 */
#include "program.h"

#include <sys/mman.h>

#include "../wipe_on_fork.h"
#include "gc_program.h"
#include "low_bits.h"

#define WORD_BITS	64u

static struct gc_program program_of(const uint8_t *code, const struct gcheap_type_record *type)
{
	return (struct gc_program) {
		.code = code,
		.bytes = type->program_bytes,
		.words = type->ptr_bytes / 8,
	};
}

/* ---- a few bits -------------------------------------------------------------- */

/* @count bits, 1 to 64, of a literal from its bit @from on. */
static uint64_t literal_bits(const uint8_t *literal, uint32_t from, uint32_t count)
{
	uint32_t shift = from % 8;
	uint64_t bits = 0;
	uint32_t at;

	literal += from / 8;
	for (at = 0; at < shift + count; at += 8) {
		uint64_t byte = *literal++;

		bits |= at < shift ? byte >> (shift - at) : byte << (at - shift);
	}
	return low_bits(bits, count);
}

/**
 * struct piece - the instruction that a bit comes from
 * @instruction: it
 * @first: number of its first bit
 * @end: one past its last
 */
struct piece {
	struct gc_instruction instruction;
	uint64_t first;
	uint64_t end;
};

/* False: a program that ends before, which the module does not take. */
static bool piece_find(const struct gc_program *start, uint64_t bit, struct piece *piece)
{
	struct gc_program program = *start;

	do {
		piece->first = program.emitted;
		if (gc_program_next(&program, &piece->instruction) || !piece->instruction.bits)
			return false;
		piece->end = program.emitted;
	} while (piece->end <= bit);
	return true;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * Up to *@count bits from number @bit on; *@count receives how many. Those of a
 * repeat are bits before it, which may be a repeat's again: each time closer to the
 * beginning of the program.
 */
static uint64_t bits_from(const struct gc_program *program, uint64_t bit, uint32_t *count)
{
	struct piece piece;

	while (piece_find(program, bit, &piece)) {
		uint64_t in = bit - piece.first;
		uint64_t period = piece.instruction.bits;

		*count = (uint32_t)min(*count, piece.end - bit);
		if (piece.instruction.literal)
			return literal_bits(piece.instruction.literal, (uint32_t)in, *count);
		in %= period;
		*count = (uint32_t)min(*count, period - in);
		bit = piece.first - period + in;
	}
	return 0;
}

/*
 * As many of a repeat's bits as can be copied from those of the same word before
 * them, which are @filled; 0: none, or it is no repeat.
 */
static uint32_t copy_back(const struct piece *piece, uint64_t bits, uint64_t at, uint32_t filled,
			  uint32_t count, uint64_t *copied)
{
	uint64_t period = piece->instruction.bits;
	uint64_t reach;

	if (piece->instruction.literal || period > filled)
		return 0;
	/* Any number of periods back, but not further than what is repeated. */
	reach = min(filled, at - piece->first + period);
	reach -= reach % period;
	count = (uint32_t)min(min(count, reach), piece->end - at);
	*copied = low_bits(bits >> (filled - reach), count);
	return count;
}

uint64_t program_word(const uint8_t *code, const struct gcheap_type_record *type, uint64_t word)
{
	struct gc_program program = program_of(code, type);
	uint64_t first = word * WORD_BITS;
	uint64_t bits = 0;
	uint32_t filled = 0;
	uint32_t end = (uint32_t)min(WORD_BITS, program.words - first);

	while (filled < end) {
		uint64_t at = first + filled;
		uint64_t part = 0;
		uint32_t count = 0;
		struct piece piece;

		if (!piece_find(&program, at, &piece))
			break;
		count = copy_back(&piece, bits, at, filled, end - filled, &part);
		if (!count) {
			count = end - filled;
			part = bits_from(&program, at, &count);
		}
		bits |= part << filled;
		filled += count;
	}
	return bits;
}

/* ---- all bits ---------------------------------------------------------------- */

void program_unroll(const struct view *view, const struct gcheap_type_record *type, uint64_t *mask,
		    uint32_t stride)
{
	struct gc_program program = program_of(program_code(view, type), type);

	/* It is in order, and nobody interrupts it here. */
	gc_program_unroll(&program, (u64 *)mask, stride, NULL);
}

uint64_t program_mask_bytes(const struct gcheap_type_record *type)
{
	return (type->ptr_bytes / 8 + WORD_BITS - 1) / WORD_BITS * 8;
}

const uint64_t *program_mask(const struct view *view, const struct gcheap_type_record *type)
{
	uint64_t bytes = program_mask_bytes(type);
	uint64_t *mask = wipe_on_fork_alloc(bytes);

	if (!mask)
		return NULL;
	program_unroll(view, type, mask, 1);
	if (mprotect(mask, bytes, PROT_READ)) {
		wipe_on_fork_free(mask, bytes);
		return NULL;
	}
	return mask;
}

void program_mask_free(const uint64_t *mask, uint64_t bytes)
{
	wipe_on_fork_free((void *)mask, bytes);
}

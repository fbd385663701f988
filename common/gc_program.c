// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The interpreter of GC programs.
 *
 * A program is a list of instructions without jumps, so that it can only be read
 * from its beginning to its end, once:
 *
 *	00000000		end
 *	0nnnnnnn bits...	emit the n bits that follow in (n + 7) / 8 bytes
 *	1nnnnnnn c		emit the last n bits again, c times
 *	10000000 n c		the same, for any n
 *
 * n and c after the first byte are varints: seven bits a byte, the lowest first,
 * with the top bit set in all bytes but the last.
 *
 * One function reads an instruction and validates it against what came before:
 * gc_program_next(). Three loops here use it: gc_program_check() only counts, so that
 * a bad program is refused before there is memory for what it emits;
 * gc_program_unroll() writes; gc_program_first_word() writes a word. None ever emits
 * more than @words bits, however large the numbers in the program are.
 */
#include "gc_program.h"
#include "low_bits.h"

/* Bits are written by words; in memory they are to be in the order of bytes. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

#define WORD_BITS	64u
#define VARINT_BITS	7u
#define SHORT_COUNT	0x7fu		/* n in the first byte of an instruction */
#define MORE		0x80u		/* repeat; in a varint: more bytes follow */

/* Steps of gc_program_unroll() between two questions whether to end: some 10 us. */
#define STEPS_BETWEEN_QUESTIONS	4096u

/* Reads a varint at *@at, and moves on behind it. */
static enum gc_program_error read_varint(const struct gc_program *program, u32 *at, u64 *value)
{
	u32 shift;
	u8 byte;

	*value = 0;
	for (shift = 0; shift < WORD_BITS; shift += VARINT_BITS) {
		if (*at >= program->bytes)
			return GC_PROGRAM_TRUNCATED;
		byte = program->code[(*at)++];
		if ((u64)(byte & SHORT_COUNT) << shift >> shift != (byte & SHORT_COUNT))
			return GC_PROGRAM_VARINT_OVERFLOW;
		*value |= (u64)(byte & SHORT_COUNT) << shift;
		if (!(byte & MORE))
			return byte || !shift ? GC_PROGRAM_OK : GC_PROGRAM_VARINT_LONG;
	}
	return GC_PROGRAM_VARINT_OVERFLOW;
}

static enum gc_program_error read_literal(const struct gc_program *program, u32 *at, u32 bits,
					  struct gc_instruction *instruction)
{
	u32 bytes = DIV_ROUND_UP(bits, 8);

	if (program->bytes - *at < bytes)
		return GC_PROGRAM_TRUNCATED;
	instruction->literal = program->code + *at;
	instruction->bits = bits;
	*at += bytes;
	if (bits % 8 && instruction->literal[bytes - 1] >> bits % 8)
		return GC_PROGRAM_PADDING;
	return bits > program->words - program->emitted ? GC_PROGRAM_LONG : GC_PROGRAM_OK;
}

static enum gc_program_error read_repeat(const struct gc_program *program, u32 *at, u32 bits,
					 struct gc_instruction *instruction)
{
	enum gc_program_error error = GC_PROGRAM_OK;
	u64 total;

	instruction->literal = NULL;
	instruction->bits = bits;
	if (!bits)
		error = read_varint(program, at, &instruction->bits);
	if (!error)
		error = read_varint(program, at, &instruction->times);
	if (error)
		return error;
	if (!instruction->bits)
		return GC_PROGRAM_REPEAT_NOTHING;
	if (instruction->bits > program->emitted)
		return GC_PROGRAM_REPEAT_UNWRITTEN;
	if (check_mul_overflow(instruction->bits, instruction->times, &total))
		return GC_PROGRAM_LONG;
	return total > program->words - program->emitted ? GC_PROGRAM_LONG : GC_PROGRAM_OK;
}

enum gc_program_error gc_program_next(struct gc_program *program,
				      struct gc_instruction *instruction)
{
	enum gc_program_error error;
	u32 at = program->at;
	u8 first;

	if (at >= program->bytes)
		return GC_PROGRAM_TRUNCATED;
	first = program->code[at++];
	*instruction = (struct gc_instruction){ .times = 1 };
	if (!first) {
		if (at < program->bytes)
			return GC_PROGRAM_TRAILING;
		return program->emitted < program->words ? GC_PROGRAM_SHORT : GC_PROGRAM_OK;
	}
	if (first & MORE)
		error = read_repeat(program, &at, first & SHORT_COUNT, instruction);
	else
		error = read_literal(program, &at, first, instruction);
	if (error)
		return error;
	program->at = at;
	program->emitted += instruction->bits * instruction->times;
	return GC_PROGRAM_OK;
}

enum gc_program_error gc_program_check(struct gc_program *program)
{
	struct gc_instruction instruction;
	enum gc_program_error error;

	do {
		error = gc_program_next(program, &instruction);
	} while (!error && instruction.bits);
	return error;
}

/* ---- writing ---------------------------------------------------------------- */

/**
 * struct bit_writer - the mask that is being written
 * @mask: its first word
 * @stride: words from one of its words to the next
 * @at: how many bits are written; those after them in the same word are zero
 * @steps: calls of write_bits()
 * @interrupted: as in gc_program_unroll()
 */
struct bit_writer {
	u64 *mask;
	u32 stride;
	u64 at;
	u32 steps;
	bool (*interrupted)(void);
};

/* Writes the low @count bits of @bits, 1 to 64; those above are zero. */
static int write_bits(struct bit_writer *writer, u64 bits, u32 count)
{
	u64 *word = writer->mask + writer->at / WORD_BITS * writer->stride;
	u32 shift = writer->at % WORD_BITS;

	*word = shift ? *word | bits << shift : bits;
	if (shift + count > WORD_BITS)
		word[writer->stride] = bits >> (WORD_BITS - shift);
	writer->at += count;
	if (++writer->steps % STEPS_BETWEEN_QUESTIONS)
		return 0;
	return writer->interrupted && writer->interrupted() ? -EINTR : 0;
}

/* The @count written bits, 1 to 64, from @at on. */
static u64 read_bits(const struct bit_writer *writer, u64 at, u32 count)
{
	const u64 *word = writer->mask + at / WORD_BITS * writer->stride;
	u32 shift = at % WORD_BITS;
	u64 bits = word[0] >> shift;

	if (shift + count > WORD_BITS)
		bits |= word[writer->stride] << (WORD_BITS - shift);
	return low_bits(bits, count);
}

static int write_literal(struct bit_writer *writer, const u8 *literal, u32 count)
{
	int error = 0;

	while (count && !error) {
		u32 part = min_t(u32, count, WORD_BITS);
		u64 bits = 0;
		u32 i;

		for (i = 0; i < DIV_ROUND_UP(part, 8); i++)
			bits |= (u64)*literal++ << 8 * i;
		error = write_bits(writer, low_bits(bits, part), part);
		count -= part;
	}
	return error;
}

/* Writes @count bits more, each the same as the one @distance before it. */
static int write_repeat(struct bit_writer *writer, u64 distance, u64 count)
{
	int error = 0;

	if (distance < WORD_BITS) {
		/* As many copies as a word holds, 33 bits at least, at a time. */
		u32 period = (u32)distance;
		u64 pattern = read_bits(writer, writer->at - period, period);
		u32 filled;

		for (filled = period; filled + period <= WORD_BITS; filled += period)
			pattern |= low_bits(pattern, period) << filled;
		while (count && !error) {
			u32 part = min_t(u64, count, filled);

			error = write_bits(writer, low_bits(pattern, part), part);
			count -= part;
		}
		return error;
	}
	/* The source is written already, though the copy may be its continuation. */
	while (count && !error) {
		u32 part = min_t(u64, count, WORD_BITS);

		error = write_bits(writer, read_bits(writer, writer->at - distance, part), part);
		count -= part;
	}
	return error;
}

int gc_program_unroll(struct gc_program *program, u64 *mask, u32 stride,
		      bool (*interrupted)(void))
{
	struct bit_writer writer = {
		.mask = mask,
		.stride = stride,
		.interrupted = interrupted,
	};
	struct gc_instruction instruction;
	int error = 0;

	while (!error) {
		if (gc_program_next(program, &instruction))
			return -EINVAL;
		if (!instruction.bits)
			return 0;
		if (instruction.literal)
			error = write_literal(&writer, instruction.literal, (u32)instruction.bits);
		else
			error = write_repeat(&writer, instruction.bits,
					     instruction.bits * instruction.times);
	}
	return error;
}

u64 gc_program_first_word(const struct gc_program *start)
{
	struct gc_program program = *start;
	struct gc_instruction instruction;
	u64 mask[2] = { 0 };	/* the last instruction's may be cut off in the second */
	struct bit_writer writer = { .mask = mask, .stride = 1 };

	while (writer.at < WORD_BITS && !gc_program_next(&program, &instruction) &&
	       instruction.bits) {
		u64 count = min_t(u64, instruction.bits * instruction.times,
				  WORD_BITS - writer.at);

		if (instruction.literal)
			write_literal(&writer, instruction.literal, (u32)count);
		else
			write_repeat(&writer, instruction.bits, count);
	}
	return mask[0];
}

// SPDX-License-Identifier: MIT
/*
 * The BITMAP layout: writing the two bits of each word of an object.
 *
 * An object is its slot. Its pointer bits are written from its first word up to
 * its last pointer, its scan bits too, and behind them one scan bit that is 0: the
 * words after that cost nothing, however many they are. Objects without pointers
 * have no bits.
 *
 * Slots of one span share words of the region, slots of different spans do not. A span's
 * free slots belong to one thread's cache, so that the plain loads and stores here never
 * meet those of another thread.
 *
 * There are four ways to write the bits, by the size of the element:
 *
 *	slot of up to 64 words		one mask, one or two groups
 *	element of up to 64 words	the mask again and again, a group at a time
 *	larger, one			the type's mask, a group for each of its words
 *	larger, several			the same for each, shifted to where it begins
 *
 * A large object of a type by GC program has no mask to copy: the program is unrolled
 * straight into the bits of the first element, and the others copy those.
 */
#include "bitmap.h"

#include "layout.h"
#include "program.h"
#include "type_word.h"

/* Words of @bytes of elements up to the last one that may hold a pointer. */
static uint64_t scan_words(const struct gcheap_type_record *record, uint64_t bytes)
{
	return (bytes - (record->bytes - record->ptr_bytes)) / 8;
}

/* ---- slots of up to 64 words ------------------------------------------------- */

static void group_write(uint64_t *group, uint64_t ones, uint64_t pointers, uint64_t scans)
{
	group[0] = (group[0] & ~ones) | pointers;
	group[1] = (group[1] & ~ones) | scans;
}

static void write_small(const struct view *view, uint64_t offset, uint32_t slot_words,
			uint64_t mask)
{
	uint64_t *group = bitmap_group(view, offset);
	uint32_t shift = offset / 8 % 64;
	uint32_t words = mask ? 64 - (uint32_t)__builtin_clzll(mask) : 0;
	uint64_t scans = low_ones(words);
	/* And the bit that ends them, where the slot does not. */
	uint32_t count = words + (words < slot_words);
	uint64_t ones = low_ones(count);

	group_write(group, ones << shift, mask << shift, scans << shift);
	if (shift + count > 64)
		group_write(group + 2, ones >> (64 - shift), mask >> (64 - shift),
			    scans >> (64 - shift));
}

/* ---- larger slots ------------------------------------------------------------ */

/**
 * struct writer - the bits that are being written, a group at a time
 * @group: the group that the next bit belongs to
 * @bits: its pointer bits so far
 * @scans: its scan bits, if all that follow are 1
 * @filled: how many bits are in @bits
 */
struct writer {
	uint64_t *group;
	uint64_t bits;
	uint64_t scans;
	uint32_t filled;
};

static struct writer writer_begin(const struct view *view, uint64_t offset)
{
	struct writer writer = {
		.group = bitmap_group(view, offset),
		.scans = ~0ull,
		.filled = offset / 8 % 64,
	};

	/* Below are the bits of the slot before. */
	if (writer.filled) {
		uint64_t before = low_ones(writer.filled);

		writer.bits = writer.group[0] & before;
		writer.scans = writer.group[1] | ~before;
	}
	return writer;
}

static inline void writer_flush(struct writer *writer)
{
	writer->group[0] = writer->bits;
	writer->group[1] = writer->scans;
	writer->group += 2;
	writer->scans = ~0ull;
}

/* Write the low @count bits of @bits, 1 to 64; those above are zero. */
static inline void writer_add(struct writer *writer, uint64_t bits, uint32_t count)
{
	uint32_t filled = writer->filled;

	writer->bits |= bits << filled;
	writer->filled += count;
	if (writer->filled < 64)
		return;
	writer_flush(writer);
	writer->filled -= 64;
	/* What did not fit; a shift by 64 would be none. */
	writer->bits = filled ? bits >> (64 - filled) : 0;
}

static void writer_add_zeros(struct writer *writer, uint64_t count)
{
	for (; count >= 64; count -= 64)
		writer_add(writer, 0, 64);
	if (count)
		writer_add(writer, 0, (uint32_t)count);
}

/* The last group, of which some may be another slot's; @is_open: the slot goes on. */
static void writer_end(struct writer *writer, bool is_open)
{
	uint64_t ones = low_ones(writer->filled);

	if (!writer->filled && !is_open)
		return;
	writer->group[0] = (writer->group[0] & ~ones) | writer->bits;
	writer->group[1] = (writer->group[1] & ~ones) | (writer->scans & ones);
	if (is_open)
		writer->group[1] &= ~(1ull << writer->filled);
}

/*
 * Elements of up to 64 words: the mask repeated for ever is known by its first 128
 * bits, of which each group takes 64 from where the last one has ended.
 */
static void write_repeated(struct writer *writer, uint64_t mask, uint32_t element, uint64_t words)
{
	uint64_t low = mask_tile(mask, element, 64);
	uint32_t rest = 64 % element;	/* at most 31 */
	uint64_t high = rest ? low >> rest | low << (64 - 2 * rest) : low;
	uint32_t phase = 0;

	for (;;) {
		uint64_t bits = phase ? low >> phase | high << (64 - phase) : low;

		if (words <= 64) {
			writer_add(writer, bits & low_ones(words), (uint32_t)words);
			return;
		}
		writer_add(writer, bits, 64);
		words -= 64;
		phase += rest;
		if (phase >= element)
			phase -= element;
	}
}

/* One element of more than 64 words, of a mask whose words are @stride apart. */
static void write_element(struct writer *writer, const uint64_t *mask, uint32_t stride,
			  uint64_t words)
{
	for (; words >= 64; words -= 64, mask += stride)
		writer_add(writer, *mask, 64);
	if (words)
		writer_add(writer, *mask & low_ones(words), (uint32_t)words);
}

/* Elements of more than 64 words, each by the type's whole mask. */
static void write_larger(struct writer *writer, const uint64_t *mask,
			 const struct gcheap_type_record *record, uint64_t count)
{
	uint64_t words = record->ptr_bytes / 8;

	for (;;) {
		write_element(writer, mask, 1, words);
		if (!--count)
			return;
		writer_add_zeros(writer, record->bytes / 8 - words);
	}
}

/* The first element of a large object, by its program: it begins with a group. */
static void write_program(struct writer *writer, const struct view *view,
			  const struct gcheap_type_record *record, uint64_t count)
{
	uint64_t words = record->ptr_bytes / 8;
	uint64_t *first = writer->group;
	uint64_t i;

	program_unroll(view, record, first, 2);
	for (i = 0; i < words / 64; i++)
		first[2 * i + 1] = ~0ull;
	/* The writer goes on behind it, perhaps in its last group. */
	writer->group += 2 * i;
	writer->filled = words % 64;
	writer->bits = writer->filled ? writer->group[0] : 0;
	while (--count) {
		writer_add_zeros(writer, record->bytes / 8 - words);
		write_element(writer, first, 2, words);
	}
}

/* @bytes: of all elements; @room: of the slot, or of a large object. */
static void write_large(const struct view *view, uint64_t offset,
			const struct gcheap_type_record *record, uint64_t bytes, uint64_t room)
{
	struct writer writer = writer_begin(view, offset);
	uint64_t count = bytes / record->bytes;

	if (record->bytes <= BITMAP_GROUP_BYTES)
		write_repeated(&writer, record->mask_word, (uint32_t)(record->bytes / 8),
			       scan_words(record, bytes));
	else if (record->program_bytes)
		write_program(&writer, view, record, count);
	else
		write_larger(&writer, view_type_mask(view, record), record, count);
	writer_end(&writer, scan_words(record, bytes) < room / 8);
}

/* ---- the layout -------------------------------------------------------------- */

static uint64_t bitmap_word_bytes(const struct view *view, const struct gcheap_type_record *type,
				  uint64_t bytes)
{
	(void)type;
	(void)bytes;
	return view->record_types ? FOOTER_BYTES : 0;
}

static void *bitmap_finish(const struct view *view, char *slot, gcheap_type type,
			   const struct gcheap_type_record *record, uint64_t bytes)
{
	uint64_t offset = address_offset(view, slot);
	uint32_t room = GCHEAP_PAGE_SLOT_BYTES(view->pages[offset >> GCHEAP_PAGE_SHIFT]);

	if (view->record_types) {
		*(uint64_t *)(void *)(slot + room - FOOTER_BYTES) = type;
		if (!record->ptr_bytes)
			return slot;
	}
	if (room <= BITMAP_GROUP_BYTES)
		write_small(view, offset, room / 8,
			    mask_tile(record->mask_word, record->bytes / 8,
				      (uint32_t)(bytes / 8)));
	else
		write_large(view, offset, record, bytes, room);
	return slot;
}

static void bitmap_finish_large(const struct view *view, char *object,
				const struct gcheap_type_record *record, uint64_t bytes)
{
	write_large(view, address_offset(view, object), record, bytes, bytes);
}

const struct layout layout_bitmap = {
	.uapi = GCHEAP_LAYOUT_BITMAP,
	.name = "bitmap",
	.word_bytes = bitmap_word_bytes,
	.finish = bitmap_finish,
	.finish_large = bitmap_finish_large,
};

// SPDX-License-Identifier: MIT
/*
 * What is at an address, for people, by functions that signal handlers may call: no locks, no
 * memory, no stdio.
 */
#include "bad_pointer.h"
#include "heaps.h"

#include <errno.h>
#include <string.h>

#include "address.h"
#include "library.h"

/**
 * struct words - text that is made
 * @text: where
 * @bytes: room there
 * @used: of it
 */
struct words {
	char *text;
	size_t bytes;
	size_t used;
};

static void put(struct words *words, const char *text)
{
	size_t length = strlen(text);

	if (!words->bytes)
		return;
	if (length > words->bytes - 1 - words->used)
		length = words->bytes - 1 - words->used;
	memcpy(words->text + words->used, text, length);
	words->used += length;
	words->text[words->used] = 0;
}

static void put_number(struct words *words, uint64_t number)
{
	char digits[24];
	size_t at = sizeof(digits);

	digits[--at] = 0;
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	put(words, digits + at);
}

/* When and by whom. */
static void put_end(struct words *words, const struct gcheap *heap, const struct arena_chunk *chunk)
{
	uint64_t cycles = __atomic_load_n(&heap->stats.cycles, __ATOMIC_RELAXED) -
			  chunk->freed_cycle;

	put(words, ", freed ");
	if (cycles) {
		put_number(words, cycles);
		put(words, cycles == 1 ? " cycle ago" : " cycles ago");
	} else {
		put(words, "since the last cycle");
	}
	if (!chunk->freed_by) {
		put(words, " because its handle had died");
	} else {
		put(words, " by thread ");
		put_number(words, chunk->freed_by);
	}
}

static void explain_chunk(struct words *words, const struct gcheap *heap, uint64_t number)
{
	const struct arena_chunk *chunk = &heap->arenas.chunks[number];

	put(words, "in user arena ");
	put_number(words, chunk->arena);
	switch (__atomic_load_n(&chunk->state, __ATOMIC_RELAXED)) {
	case ARENA_CHUNK_USED:
		put(words, ", which is open");
		return;
	case ARENA_CHUNK_SPARE:
		put(words, ", which is freed, where the next arena goes on");
		return;
	case ARENA_CHUNK_LEFT:
		put(words, ", whose handle has died");
		return;
	case ARENA_CHUNK_FREED:
		put_end(words, heap, chunk);
		return;
	default:
		put_end(words, heap, chunk);
		put(words, ", and no pointer led there since");
		return;
	}
}

static void explain_pages(struct words *words, const struct gcheap *heap, uint64_t offset,
			  uint32_t set_aside)
{
	struct slot slot;

	if (set_aside != GCHEAP_SPAN_FREE) {
		put(words, "in a ");
		put(words, bad_pointer_state_name(set_aside));
		return;
	}
	if (!address_slot(&heap->view, offset, &slot)) {
		put(words, "in free memory of the heap");
		return;
	}
	put(words, "in the heap, at byte ");
	put_number(words, offset - slot.offset);
	put(words, " of a slot of ");
	put_number(words, slot.bytes);
}

static int explain(struct gcheap *heap, const void *address, void *arg)
{
	uint64_t offset = address_offset(&heap->view, address);
	uint64_t number = arena_chunk_number(offset);
	struct words *words = arg;
	uint32_t set_aside;
	uint64_t page;

	if (offset >= address_end(&heap->view)) {
		put(words, "in the heap's reserve, where no memory was used yet");
		return 1;
	}
	set_aside = address_set_aside(&heap->view, offset, &page);
	/* A freed span may be in quarantine, too. */
	if (set_aside != GCHEAP_SPAN_FREE && heap->arenas.chunks &&
	    page == arena_chunk_page(number) && heap->arenas.chunks[number].arena)
		explain_chunk(words, heap, number);
	else
		explain_pages(words, heap, offset, set_aside);
	return 1;
}

int gcheap_explain(const void *address, char *text, size_t bytes)
{
	struct words words = { .text = text, .bytes = text ? bytes : 0 };

	if (heaps_look(address, explain, &words))
		return 0;
	put(&words, "in no heap of this process");
	return -ENOENT;
}

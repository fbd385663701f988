// SPDX-License-Identifier: MIT
/*
 * The first marker's life, the phases of a cycle's marking, and roots.
 */
#define _GNU_SOURCE
#include "mark.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "guard.h"
#include "mark_count.h"
#include "mark_kernel.h"
#include "mark_piece.h"
#include "mark_scan.h"
#include "mark_thread.h"
#include "mark_trace.h"

/* Entries that roots may leave on the stack before they are followed. */
#define ROOTS_STACK_BYTES	(1u << 20)

/*
 * Of the bytes in use, the part that the markers' stacks may take, all together; and what they
 * may take in any case.
 */
#define STACKS_SHIFT		3
#define STACKS_MIN_BYTES	((uint64_t)4 << 20)

/* Of the marked bytes, the part that idle markers may keep for their stacks, all together. */
#define KEEP_SHIFT		7
#define KEEP_MIN_BYTES		(1u << 20)

/* Bytes of heap from which on the first cycle has others' help already. */
#define LARGE_HEAP_PAGES	4096u

static uint32_t cpus_allowed(void)
{
	cpu_set_t cpus;

	/* More CPUs than the set has room for. */
	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return CPU_SETSIZE;
	return (uint32_t)CPU_COUNT(&cpus);
}

static struct mark_team *team_create(struct marker *marker, uint32_t wanted)
{
	struct mark_team *team = aligned_alloc(64, (sizeof(*team) + 63) / 64 * 64);

	if (!team)
		return NULL;
	memset(team, 0, sizeof(*team));
	team->size = 1;
	team->wanted = wanted;
	team->markers = calloc(wanted, sizeof(*team->markers));
	team->threads = calloc(wanted, sizeof(*team->threads));
	if (!team->markers || !team->threads) {
		free(team->markers);
		free(team->threads);
		free(team);
		return NULL;
	}
	team->markers[0] = marker;
	team->most_stack_bytes = UINT64_MAX;
	team->overflow.max_bytes = UINT64_MAX;
	return team;
}

static void team_destroy(struct mark_team *team)
{
	free(team->markers);
	free(team->threads);
	free(team);
}

static void slots_count(struct marker *marker)
{
	uint32_t size_class;

	for (size_class = SIZE_CLASS_MIN; size_class < SIZE_CLASSES; size_class++) {
		uint32_t bytes = (uint32_t)size_class_pages[size_class] << GCHEAP_PAGE_SHIFT;
		uint32_t slot_bytes = size_class_bytes[size_class];

		marker->slots[0][size_class] = (uint16_t)(bytes / slot_bytes);
		bytes -= bytes >> GCHEAP_HEAP_BITS_SHIFT;
		marker->slots[1][size_class] = (uint16_t)(bytes / slot_bytes);
	}
}

int marker_create(struct gcheap *heap, uint32_t markers, const struct mark_kernel *kernel,
		  struct marker **out)
{
	struct marker *marker = aligned_alloc(64, (sizeof(*marker) + 63) / 64 * 64);

	if (!marker)
		return error_set(-ENOMEM, "no memory for the marker");
	memset(marker, 0, sizeof(*marker));
	marker->team = team_create(marker, markers ? markers : cpus_allowed());
	if (!marker->team) {
		free(marker);
		return error_set(-ENOMEM, "no memory for the markers");
	}
	if (mark_stack_init(&marker->stack, &marker->team->budget)) {
		team_destroy(marker->team);
		free(marker);
		return error_set(-ENOMEM, "no memory for the marker's stack");
	}
	marker->heap = heap;
	marker->view = &heap->view;
	marker->kernel = kernel ? kernel : mark_kernel_best();
	slots_count(marker);
	*out = marker;
	return 0;
}

void marker_destroy(struct marker *marker, bool is_here)
{
	if (!marker)
		return;
	mark_threads_end(marker, is_here);
	mark_stack_destroy(&marker->stack);
	team_destroy(marker->team);
	free(marker);
}

void marker_send_home(struct marker *marker)
{
	mark_threads_end(marker, true);
}

uint64_t marker_memory(const struct marker *marker)
{
	const struct mark_team *team;
	uint64_t bytes;
	uint32_t i;

	if (!marker)
		return 0;
	team = marker->team;
	bytes = sizeof(*team) + team->wanted * (sizeof(*team->markers) + sizeof(*team->threads));
	for (i = 0; i < team->size; i++)
		bytes += sizeof(*marker) + team->markers[i]->stack.bytes;
	return bytes;
}

void mark_prepare(struct marker *marker)
{
	const struct mark_team *team = marker->team;

	if (team->size < team->wanted &&
	    (team->is_worth ||
	     ctrl_load(&marker->view->ctrl->counters.in_use_pages) >= LARGE_HEAP_PAGES))
		mark_threads_make(marker);
}

/* ---- phases --------------------------------------------------------------------- */

static void begin_one(struct marker *marker)
{
	const struct view *view = marker->view;

	marker->base = (uint64_t)(uintptr_t)view->base;
	marker->end = address_end(view);
	marker->pages = view->pages;
	marker->spans = view->spans;
	marker->marks = view_mark_bits(view);
	marker->page_marks = view->page_marks;
	marker->bitmap = view->bitmap;
	marker->edge_count = 0;
	marker->edges = marker->buffers[0];
	marker->late = marker->buffers[1];
	marker->late_count = 0;
	marker->stretch.number = UINT64_MAX;
	marker->stretch.is_leaves = false;
	marker->scanned = 0;
	marker->busy_ns = 0;
}

/*
 * What the markers' stacks may take in this cycle: a part of what is in use, and under a memory
 * limit no more than that has left.
 */
static uint64_t stacks_max(const struct marker *marker)
{
	const struct gcheap_counters *counters = &marker->view->ctrl->counters;
	uint64_t limit = __atomic_load_n(&marker->heap->pacer.memory_limit, __ATOMIC_RELAXED);
	uint64_t bytes = ctrl_load(&counters->in_use_pages) << GCHEAP_PAGE_SHIFT >> STACKS_SHIFT;
	uint64_t resident = ctrl_load(&counters->resident_bytes) +
			    ctrl_load(&counters->stock_bytes);

	if (limit && (limit < resident || limit - resident < bytes))
		bytes = limit < resident ? 0 : limit - resident;
	if (bytes < STACKS_MIN_BYTES)
		bytes = STACKS_MIN_BYTES;
	return bytes < marker->team->most_stack_bytes ? bytes : marker->team->most_stack_bytes;
}

void mark_begin(struct marker *marker)
{
	struct mark_team *team = marker->team;
	uint32_t i;

	for (i = 0; i < team->size; i++)
		begin_one(team->markers[i]);
	team->budget.max_bytes = stacks_max(marker);
	mark_hide_free(marker);
}

void mark_follow(struct marker *marker)
{
	mark_edges(marker);
	mark_gathered(marker);
	mark_drain(marker);
	while (mark_take_up(marker))
		;
}

void mark_finish(struct marker *marker, struct mark_result *result)
{
	struct mark_team *team = marker->team;
	uint64_t keep;
	uint32_t i;

	mark_follow(marker);
	mark_count(marker, result);
	mark_overflow_end(&team->overflow);
	keep = result->bytes >> KEEP_SHIFT;
	keep = (keep > KEEP_MIN_BYTES ? keep : KEEP_MIN_BYTES) / team->size;
	for (i = 0; i < team->size; i++)
		mark_stack_trim(&team->markers[i]->stack, keep);
}

uint32_t mark_shares(const struct marker *marker, struct mark_share *shares, uint32_t max)
{
	const struct mark_team *team = marker->team;
	uint32_t i;

	for (i = 0; i < team->size && i < max; i++)
		shares[i] = (struct mark_share) {
			.entries = team->markers[i]->scanned,
			.ns = team->markers[i]->busy_ns,
		};
	return team->size;
}

/* ---- roots ---------------------------------------------------------------------- */

/* Mark what roots lead to, and follow it if that is much. */
static void roots_flush(struct marker *marker)
{
	mark_edges(marker);
	if (!marker->is_draining && mark_stack_exceeds(&marker->stack, ROOTS_STACK_BYTES))
		mark_drain(marker);
}

static void slots_piece(struct marker *marker, const struct mark_piece *piece)
{
	const uint64_t *words = (const uint64_t *)(uintptr_t)piece->start;
	const uint64_t *end = (const uint64_t *)(uintptr_t)piece->end;

	for (; words < end; words++) {
		mark_word(marker, *words);
		if (marker->edge_count > MARK_EDGES - 64)
			roots_flush(marker);
	}
	roots_flush(marker);
}

void mark_slots(struct marker *marker, void *const *slots, size_t n)
{
	uint64_t start = (uint64_t)(uintptr_t)slots;

	mark_gather(marker, slots_piece, start, start + n * sizeof(*slots), 1, NULL);
}

void mark_slots_here(struct marker *marker, void *const *slots, size_t n)
{
	slots_piece(marker, &(struct mark_piece) {
		.start = (uint64_t)(uintptr_t)slots, .end = (uint64_t)(uintptr_t)(slots + n),
	});
}

/* Elements, by their numbers. */
static void typed_piece(struct marker *marker, const struct mark_piece *piece)
{
	const struct root *root = piece->argument;

	mark_scan_typed(marker, root_pointers(marker->view, root, piece->start, piece->end));
	roots_flush(marker);
}

void mark_typed(struct marker *marker, const struct root *root)
{
	mark_gather(marker, typed_piece, 0, root->count, view_type(marker->view, root->type)->bytes,
		    root);
}

/*
 * The object before @edge, where that is not the middle of one: compilers keep a pointer
 * to the end of an array alone, and count down from there.
 */
static void mark_before(struct marker *marker, uint64_t edge)
{
	struct slot slot;

	if (address_slot(marker->view, edge - 1, &slot) && slot.offset + slot.bytes == edge &&
	    view_bit(view_alloc_bits(marker->view), granule_of(slot.offset)))
		mark_word(marker, marker->base + slot.offset);
}

/* Where no object of the heap is. */
static void mark_ambiguous_aside(struct marker *marker, uint64_t edge)
{
	uint64_t entry = mark_set_aside(marker, edge);

	if (entry)
		mark_push(marker, entry);
}

/*
 * A word that may be a pointer, as an offset that is in the heap: only the slot that it
 * points into tells, and the slot's alloc bit. No span is cached during a cycle, so that
 * alloc bits are true. The end of the heap's last page, too, may be an object's.
 */
static __attribute__((noinline))
void mark_ambiguous_edge(struct marker *marker, uint64_t edge)
{
	struct slot slot;

	if (edge == marker->end) {
		mark_before(marker, edge);
	} else if (!address_slot(marker->view, edge, &slot)) {
		mark_ambiguous_aside(marker, edge);
		mark_before(marker, edge);
	} else {
		if (view_bit(view_alloc_bits(marker->view), granule_of(slot.offset)))
			mark_word(marker, marker->base + edge);
		if (edge == slot.offset)
			mark_before(marker, edge);
	}
	if (marker->edge_count > MARK_EDGES - 64)
		roots_flush(marker);
}

/*
 * Stacks are read whole, red zones between variables too, and while a thread that is parked
 * writes to the part that it calls other functions in.
 */
__attribute__((no_sanitize("address"), no_sanitize("thread")))
void mark_ambiguous_here(struct marker *marker, uint64_t start, uint64_t end)
{
	uintptr_t at = (start + 7) & ~(uintptr_t)7;
	/* Much of a stack was never written. */
	bool is_valgrind = guard_is_valgrind();
	/* Offset 0 is nothing's, and that of the end may be the last object's. */
	uint64_t first = marker->base + 1;
	uint64_t bytes_in = marker->end;

	for (; at + 8 <= end; at += 8) {
		uint64_t word = *(const uint64_t *)at;

		if (is_valgrind)
			word = guard_word(word);
		/* Most words of a stack lead elsewhere. */
		if (__builtin_expect(word - first < bytes_in, 0))
			mark_ambiguous_edge(marker, word - marker->base);
	}
	roots_flush(marker);
}

static void ambiguous_piece(struct marker *marker, const struct mark_piece *piece)
{
	mark_ambiguous_here(marker, piece->start, piece->end);
}

void mark_ambiguous(struct marker *marker, const void *start, size_t bytes)
{
	uint64_t from = ((uintptr_t)start + 7) & ~(uintptr_t)7;
	uint64_t to = (uintptr_t)start + bytes;

	if (from < to)
		mark_gather(marker, ambiguous_piece, from, to, 1, NULL);
}

/* ---- single objects --------------------------------------------------------------- */

void mark_from_object(struct marker *marker, uint64_t offset)
{
	struct slot slot;

	if (!address_slot(marker->view, offset, &slot) || slot.info & GCHEAP_PAGE_NOSCAN)
		return;
	if (GCHEAP_PAGE_KIND(slot.info) == GCHEAP_KIND_LARGE)
		mark_scan_large(marker, slot.page);
	else
		mark_scan(marker, (slot.info & MARK_ENTRY_INFO) | slot.offset |
			  page_info_index((slot.offset >> GCHEAP_PAGE_SHIFT) - slot.page));
	roots_flush(marker);
}

bool mark_is_set(const struct marker *marker, uint64_t granule)
{
	return view_bit(marker->marks, granule);
}

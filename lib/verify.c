// SPDX-License-Identifier: MIT
/*
 * gcheap_verify(): does everything that the tables say of the heap agree?
 *
 * Two passes over the heap's pages. The first is about spans and what is counted of
 * them; its rules are those of common/verify_tables.h. The second is about objects: that
 * every pointer leads to an object, and that what lies behind an object's last element
 * is zero, because the collector relies on it. Then come the roots (verify_roots.c), and the
 * specials (verify_specials.c).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "backend/backend.h"
#include "bad_pointer.h"
#include "entry.h"
#include "error.h"
#include "guard.h"
#include "inspect.h"
#include "layout/layout.h"
#include "layout/type_word.h"
#include "layout/typed_pointers.h"
#include "library.h"
#include "report.h"
#include "rest.h"
#include "slots.h"
#include "stop_kernel.h"
#include "thread.h"
#include "verify.h"
#include "verify_roots.h"
#include "verify_specials.h"
#include "verify_tables.h"
#include "world.h"

/**
 * struct verify - one verification
 * @heap: of what
 * @view: its tables
 * @slot: whose object a complaint is about; NULL: it is about the tables
 * @faults: what was found
 */
struct verify {
	const struct gcheap *heap;
	const struct view *view;
	const struct slot *slot;
	uint64_t faults;
};

static uint32_t state_of(const struct gcheap_span *span)
{
	return span->state & GCHEAP_SPAN_STATE_MASK;
}

/* Something is wrong with the span at @page, or with the heap; or with verify->slot. */
static void vcomplain(void *owner, u32 page, const char *format, va_list args)
{
	struct verify *verify = owner;
	const struct gcheap_span *span;
	char what[256], where[40] = "";

	if (verify->faults++ >= VERIFY_REPORTS_MAX)
		return;
	vsnprintf(what, sizeof(what), format, args);
	if (page == VERIFY_NO_PAGE) {
		report("gcheap: verify: %s\n", what);
		return;
	}
	span = &verify->view->spans[page];
	if (verify->slot)
		snprintf(where, sizeof(where), " slot %u of %u", verify->slot->index, span->slots);
	report("gcheap: verify: span at page %u (%s, class %u%s)%s: %s\n",
	       page, bad_pointer_state_name(state_of(span)), SPAN_CLASS_SIZE(span->span_class),
	       SPAN_CLASS_NOSCAN(span->span_class) ? ", no pointers" : "", where, what);
}

/* ---- tables ------------------------------------------------------------------------- */

static u64 read_info(void *owner, u32 page)
{
	const struct verify *verify = owner;

	return verify->view->pages[page];
}

static const struct gcheap_span *read_span(void *owner, u32 page)
{
	const struct verify *verify = owner;

	return &verify->view->spans[page];
}

static const struct gcheap_type_record *read_type(void *owner, u32 type)
{
	const struct verify *verify = owner;

	return view_type_exists(verify->view, type) ? view_type(verify->view, type) : NULL;
}

static const u64 *read_bits(void *owner, bool marks, u32 page)
{
	const struct verify *verify = owner;
	const uint64_t *bits = marks ? view_mark_bits(verify->view) :
				       view_alloc_bits(verify->view);

	return (const u64 *)bits + (uint64_t)page * MARK_WORDS_PER_PAGE;
}

static bool read_page_mark(void *owner, u32 page)
{
	const struct verify *verify = owner;

	return view_bit(verify->view->page_marks, page);
}

static void check_tables(struct verify *verify)
{
	static const struct table_reader reader = {
		.info = read_info,
		.span = read_span,
		.type = read_type,
		.bits = read_bits,
		.page_mark = read_page_mark,
		.complain = vcomplain,
	};
	const struct gcheap_ctrl *ctrl = verify->view->ctrl;

	verify_tables(&(struct heap_tables){
		.reader = &reader,
		.owner = verify,
		.reserve_bytes = verify->view->reserve_bytes,
		.heap_pages = ctrl->heap_pages,
		.layout = ctrl->layout,
		.record_types = verify->view->record_types,
		.generation = (u16)ctrl->generation,
		.counters = &ctrl->counters,
	});
}

/* ---- objects ------------------------------------------------------------------------ */

static void __printf(3, 4) complain(struct verify *verify, const struct slot *slot,
				    const char *format, ...)
{
	va_list args;

	if (inspect_slot_is_held(verify->heap, slot))
		return;
	verify->slot = slot;
	va_start(args, format);
	vcomplain(verify, slot->page, format, args);
	va_end(args);
	verify->slot = NULL;
}

static void check_pointer(struct verify *verify, const struct slot *slot, uint64_t word,
			  const void *pointer)
{
	char where[BAD_POINTER_TEXT];

	if (inspect_pointer(verify->heap, pointer))
		return;
	complain(verify, slot, "the pointer %p at byte %llu leads %s", pointer,
		 (unsigned long long)(word - slot->offset),
		 bad_pointer_describe(verify->heap, pointer, where));
}

/* Bytes at the end of a slot that no element reaches, and that must be zero. */
static uint64_t unused_tail(const struct verify *verify, const struct slot *slot,
			    const struct object_view *object)
{
	const struct gcheap_type_record *type;

	if (!object->type)
		return 0;
	type = view_type(verify->view, object->type);
	if (GCHEAP_PAGE_KIND(slot->info) == GCHEAP_KIND_LARGE)
		return slot->bytes - verify->view->spans[slot->page].object_bytes;
	return (object->end - object->start) % type->bytes;
}

static GUARD_EXEMPT void check_tail(struct verify *verify, const struct slot *slot,
				    const struct object_view *object)
{
	uint64_t tail = unused_tail(verify, slot, object);
	const unsigned char *byte = address_pointer(verify->view, object->end - tail);
	uint64_t i;

	for (i = 0; i < tail; i++) {
		if (!byte[i])
			continue;
		complain(verify, slot, "byte %llu, behind its last element, is not zero",
			 (unsigned long long)(object->end - tail + i - slot->offset));
		return;
	}
}

static GUARD_EXEMPT void check_object(struct verify *verify, const struct slot *slot)
{
	struct object_view object;
	struct typed_pointers tp;
	uint64_t address;

	layout_object(verify->view, slot, &object);
	if (object.noscan)
		return;
	if (GCHEAP_PAGE_KIND(slot->info) == GCHEAP_KIND_HEADER && !object.type) {
		complain(verify, slot, "its header %#llx is no type",
			 (unsigned long long)type_word(verify->view, slot->offset));
		return;
	}
	if (GCHEAP_PAGE_KIND(slot->info) == GCHEAP_KIND_FOOTER && !object.type) {
		complain(verify, slot, "its footer %#llx is no type",
			 (unsigned long long)type_word(verify->view, object.end));
		return;
	}
	tp = typed_pointers_of(verify->view, slot,
			       (uint64_t)(uintptr_t)address_pointer(verify->view, object.start),
			       (uint64_t)(uintptr_t)address_pointer(verify->view, object.end));
	while ((address = typed_pointers_next(&tp)))
		check_pointer(verify, slot,
			      address - (uint64_t)(uintptr_t)verify->view->base,
			      *(void *const *)(uintptr_t)address);
	check_tail(verify, slot, &object);
}

static void check_objects(struct verify *verify)
{
	struct slot slot;
	uint64_t offset = 0;

	while (inspect_next(verify->heap, offset, &slot)) {
		check_object(verify, &slot);
		offset = slot.offset + slot.bytes;
	}
}

/* ---- user arenas -------------------------------------------------------------------- */

/**
 * struct chunk_check - whose pointers are looked at
 * @verify: for whom
 * @arena: the number of the arena that has the chunk
 */
struct chunk_check {
	struct verify *verify;
	uint64_t arena;
};

static void check_chunk_word(void *arg, void *const *word)
{
	const struct chunk_check *check = arg;
	const struct gcheap *heap = check->verify->heap;
	char where[BAD_POINTER_TEXT];

	if (inspect_pointer(heap, *word) || check->verify->faults++ >= VERIFY_REPORTS_MAX)
		return;
	report("gcheap: verify: user arena %llu: the pointer %p at %p leads %s\n",
	       (unsigned long long)check->arena, *word, (const void *)word,
	       bad_pointer_describe(heap, *word, where));
}

/* What an arena has left may lead anywhere: its program is done with it. */
static void check_chunks(struct verify *verify)
{
	const struct arenas *arenas = &verify->heap->arenas;
	uint64_t end = arenas->used_chunks ? arena_chunks_end(verify->heap) : 0;
	uint64_t i;

	for (i = 0; i < end; i++) {
		struct chunk_check check = { .verify = verify, .arena = arenas->chunks[i].arena };

		if (arenas->chunks[i].state == ARENA_CHUNK_USED)
			arena_chunk_words(verify->heap, i, check_chunk_word, &check);
	}
}

static int verify_all(struct gcheap *heap)
{
	struct verify verify = { .heap = heap };
	int error;

	/* While somebody sweeps, tables and counters are not of the same moment. */
	error = backend_sweep_finish(heap->backend);
	if (error)
		return error_set(error, "the backend did not finish the sweep: %s",
				 strerror(-error));
	verify.view = &heap->view;
	check_tables(&verify);
	/* With tables that disagree there is no telling where the objects are. */
	if (!verify.faults) {
		check_objects(&verify);
		check_chunks(&verify);
		verify.faults += verify_roots(heap, verify.faults);
		verify.faults += verify_specials(heap, verify.faults);
	}
	if (!verify.faults)
		return 0;
	return error_set(-EUCLEAN, "the heap is corrupted: %llu fault%s found, and reported on "
			 "stderr", (unsigned long long)verify.faults,
			 verify.faults == 1 ? " was" : "s were");
}

int verify_stopped(struct gcheap *heap)
{
	int error;

	/* Behind an object's last element there is nothing for the program. */
	guard_reports(false);
	error = verify_all(heap);
	guard_reports(true);
	return error;
}

__attribute__((noinline))
int gcheap_verify(struct gcheap *heap)
{
	LIBRARY_ENTRY;
	const char *sp = __builtin_frame_address(0);
	struct thread *self;
	int error = heap_check(heap);

	if (error)
		return error;
	world_lock(heap);
	self = rest_self(heap);
	/* What lies where a frame was is no variable: it is dropped. */
	if (self)
		rest_note(self, sp);
	world_stop(heap, self);
	error = verify_stopped(heap);
	/* What threads did that went on meanwhile looks like errors. */
	if (error && stop_kernel_check(heap))
		error = -ETIMEDOUT;
	world_start(heap, self);
	world_unlock(heap);
	return error;
}

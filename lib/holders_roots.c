// SPDX-License-Identifier: MIT
/*
 * An object's holders among the roots: what cycles mark from, by the same rules.
 */
#define _GNU_SOURCE
#include "holders.h"

#include <errno.h>

#include "address.h"
#include "frame.h"
#include "guard.h"
#include "inspect.h"
#include "layout/typed_pointers.h"
#include "library.h"
#include "loaded.h"
#include "stack_mark.h"
#include "thread.h"

/* ---- words that may be pointers ------------------------------------------------------- */

/**
 * struct words - memory that may hold pointers
 * @holders: who looks
 * @kind: what it is
 * @thread: whose, or NULL
 * @file: of which loaded file, or NULL
 */
struct words {
	struct holders *holders;
	enum gcheap_holder_kind kind;
	const struct thread *thread;
	const char *file;
};

static const char *words_name(const struct words *words)
{
	struct holders *holders = words->holders;

	switch (words->kind) {
	case GCHEAP_HOLDER_STACK:
		if (!words->thread)
			return "declared stack";
		return holders_thread_name(holders, "stack of", words->thread);
	case GCHEAP_HOLDER_REGISTERS:
		return holders_thread_name(holders, "registers of", words->thread);
	case GCHEAP_HOLDER_PROGRAM:
		return holders_name(holders, "variables of %s", words->file);
	case GCHEAP_HOLDER_TLS:
		return holders_name(holders, "variables of %s in thread %d", words->file,
				    words->thread->tid);
	default:
		return "ambiguous root";
	}
}

static void word_found(const struct words *words, uint64_t at, uint64_t word)
{
	/* Registers are in the library's copy. */
	bool has_slot = words->kind != GCHEAP_HOLDER_REGISTERS;

	holders_add(words->holders, words->kind, has_slot ? (const void *)(uintptr_t)at : NULL,
		    (const void *)(uintptr_t)word, words_name(words));
}

/* As a cycle reads it: red zones, too, and what a parked thread may be writing to. */
__attribute__((no_sanitize("address"), no_sanitize("thread")))
static void words_read(void *arg, uint64_t low, uint64_t top)
{
	const struct words *words = arg;
	/* Copies: the sanitizer's exemption does not go for functions that are called. */
	uint64_t start = words->holders->start, bytes = words->holders->bytes;
	bool is_valgrind = guard_is_valgrind();
	uint64_t at = (low + 7) & ~(uint64_t)7;

	for (; at + 8 <= top; at += 8) {
		uint64_t word = *(const uint64_t *)(uintptr_t)at;

		if (is_valgrind)
			word = guard_word(word);
		/* The end of the object counts, too. */
		if (__builtin_expect(word - start <= bytes, 0))
			word_found(words, at, word);
	}
}

/* ---- registered roots ------------------------------------------------------------------ */

static void read_precise(struct holders *holders, const struct root *root)
{
	void *const *slots = root->start;
	size_t i;

	for (i = 0; i < root->count; i++) {
		if (holders_leads(holders, slots[i]))
			holders_add(holders, GCHEAP_HOLDER_ROOT, &slots[i], slots[i], "root");
	}
}

static void read_typed(struct holders *holders, const struct root *root)
{
	struct typed_pointers tp = root_pointers(&holders->heap->view, root, 0, root->count);
	uint64_t address;

	while ((address = typed_pointers_next(&tp))) {
		void *const *slot = (void *const *)(uintptr_t)address;

		if (holders_leads(holders, *slot))
			holders_add(holders, GCHEAP_HOLDER_ROOT_TYPED, slot, *slot, "typed root");
	}
}

static void read_registered(struct holders *holders)
{
	struct gcheap *heap = holders->heap;
	struct words words = { .holders = holders, .kind = GCHEAP_HOLDER_ROOT_AMBIGUOUS };
	size_t i;

	pthread_mutex_lock(&heap->lock);
	for (i = 0; i < heap->roots.count; i++) {
		const struct root *root = &heap->roots.all[i];
		uint64_t start = (uint64_t)(uintptr_t)root->start;

		if (root->kind == ROOT_PRECISE)
			read_precise(holders, root);
		else if (root->kind == ROOT_TYPED)
			read_typed(holders, root);
		else if (!root->is_own)
			words_read(&words, start, start + root->count);
	}
	pthread_mutex_unlock(&heap->lock);
}

/* ---- specials ---------------------------------------------------------------------------- */

static void read_argument(struct holders *holders, const struct special *special,
			  const char *finalizer, const char *cleanup)
{
	bool is_finalizer = SPECIAL_KIND(special->key) == SPECIAL_FINALIZER;

	if (holders_leads(holders, special->argument))
		holders_add(holders, GCHEAP_HOLDER_ARGUMENT, NULL, special->argument,
			    is_finalizer ? finalizer : cleanup);
}

static void read_arguments(struct holders *holders)
{
	const struct special_link *list = &holders->heap->specials.arguments;
	const struct special_link *link;

	for (link = list->next; link != list; link = link->next) {
		const struct special *special = (const struct special *)link;
		enum special_kind kind = SPECIAL_KIND(special->key);

		if (kind != SPECIAL_WEAK && kind != SPECIAL_WEAK_LONG)
			read_argument(holders, special, "argument of a finalizer",
				      "argument of a cleanup");
		else if (holders_leads(holders, special->argument))
			holders_add(holders, GCHEAP_HOLDER_WEAK, NULL, special->argument,
				    "weak reference");
	}
}

static void read_queue(struct holders *holders, const struct special_link *list,
		       const char *object, const char *finalizer, const char *cleanup)
{
	const struct special_link *link;

	for (link = list->next; link != list; link = link->next) {
		const struct special *special = (const struct special *)link;

		if (SPECIAL_KIND(special->key) == SPECIAL_FINALIZER &&
		    holders_leads(holders, special->object))
			holders_add(holders, GCHEAP_HOLDER_FINALIZER, NULL, special->object,
				    object);
		read_argument(holders, special, finalizer, cleanup);
	}
}

/* Values, which live as long as their keys. */
static void read_values(struct holders *holders, const struct special *special)
{
	struct gcheap_holder *holder;
	struct slot slot;

	for (; special; special = special->next) {
		if (!holders_leads(holders, special->argument))
			continue;
		holder = holders_add(holders, GCHEAP_HOLDER_EPHEMERON, NULL, special->argument,
				     special->map ? "value in a weak map" :
						    "value of an ephemeron");
		if (holder && inspect_slot(holders->heap, SPECIAL_OFFSET(special->key), &slot))
			inspect_object(holders->heap, &slot, &holder->object);
	}
}

static void read_ephemerons(struct holders *holders)
{
	const struct special_link *list = &holders->heap->specials.ephemerons;
	const struct special_link *link;

	for (link = list->next; link != list; link = link->next) {
		const struct special *special = (const struct special *)link;

		if (SPECIAL_KIND(special->key) == SPECIAL_EPHEMERON)
			read_values(holders, special);
	}
}

static void read_specials(struct holders *holders)
{
	struct specials *specials = &holders->heap->specials;
	const struct special_link *link;

	specials_lock(holders->heap);
	for (link = specials->roots.next; link != &specials->roots; link = link->next) {
		const struct special *special = (const struct special *)link;

		if (!holders_leads(holders, special->object))
			continue;
		if (SPECIAL_KIND(special->key) == SPECIAL_PIN)
			holders_add(holders, GCHEAP_HOLDER_PIN, NULL, special->object, "pin");
		else
			holders_add(holders, GCHEAP_HOLDER_UNCOLLECTABLE, NULL, special->object,
				    "uncollectable");
	}
	read_arguments(holders);
	read_queue(holders, &specials->queue, "queued finalizer",
		   "argument of a queued finalizer", "argument of a queued cleanup");
	read_queue(holders, &specials->running, "running finalizer",
		   "argument of a running finalizer", "argument of a running cleanup");
	read_ephemerons(holders);
	specials_unlock(holders->heap);
}

/* ---- threads ----------------------------------------------------------------------------- */

static void read_frames(struct holders *holders, const struct thread *thread)
{
	const uintptr_t *words = thread->fast.frames;
	size_t at, i;

	holders->name = NULL;
	for (at = 0; at < thread->fast.frames_used; at += words[at]) {
		for (i = 0; i < frame_count(&words[at]); i++) {
			void *const *variable = frame_variable(&words[at], i);

			if (holders_leads(holders, *variable))
				holders_add(holders, GCHEAP_HOLDER_FRAME, variable, *variable,
					    holders_thread_name(holders, "frame of", thread));
		}
	}
}

/**
 * struct loaded_look - the reader of static and thread-local variables
 * @reader: what loaded_read() calls; first
 * @holders: who looks
 */
struct loaded_look {
	struct loaded_reader reader;
	struct holders *holders;
};

static void loaded_part(struct loaded_reader *reader, const struct loaded_part *part)
{
	struct holders *holders = ((struct loaded_look *)reader)->holders;
	struct words words = {
		.holders = holders,
		.kind = part->thread ? GCHEAP_HOLDER_TLS : GCHEAP_HOLDER_PROGRAM,
		.thread = part->thread,
		.file = part->file[0] ? part->file : program_invocation_name,
	};

	holders->name = NULL;
	words_read(&words, part->start, part->end);
}

/**
 * struct stack_look - the reader of stacks
 * @reader: what stack_read() calls; first
 * @holders: who looks
 */
struct stack_look {
	struct stack_reader reader;
	struct holders *holders;
};

static void stack_part(struct stack_reader *reader, const struct stack_part *part)
{
	struct holders *holders = ((struct stack_look *)reader)->holders;
	struct words words = {
		.holders = holders,
		.kind = part->kind == STACK_REGISTERS ? GCHEAP_HOLDER_REGISTERS :
							GCHEAP_HOLDER_STACK,
		.thread = part->thread,
	};

	holders->name = NULL;
	if (part->kind == STACK_RUNNING)
		part->thread->rest.has_contexts =
			stack_part_has_context(part->low, part->top, part->thread->rest.stack.top);
	if (part->kind == STACK_SUSPENDED)
		stack_each_readable(part->low, part->top, words_read, &words);
	else
		words_read(&words, (uintptr_t)part->low, (uintptr_t)part->top);
}

void holders_read_roots(struct holders *holders)
{
	struct loaded_look loaded = { { .part = loaded_part }, holders };
	struct stack_look stacks = { { .part = stack_part }, holders };
	struct gcheap *heap = holders->heap;
	const struct thread *thread;

	read_registered(holders);
	read_specials(holders);
	for (thread = heap->world.threads; thread; thread = thread->next)
		read_frames(holders, thread);
	loaded_read(heap, &loaded.reader);
	if (heap->flags & GCHEAP_CONSERVATIVE_STACKS)
		stack_read(heap, &stacks.reader);
}

// SPDX-License-Identifier: MIT
/*
 * The part of gcheap_verify() that is about roots: whether what must be a pointer to an
 * object, or NULL, is one. Ambiguous roots and stacks may hold anything.
 */
#include "verify_roots.h"

#include <stdarg.h>
#include <stdio.h>

#include "address.h"
#include "bad_pointer.h"
#include "frame.h"
#include "inspect.h"
#include "layout/typed_pointers.h"
#include "report.h"
#include "thread.h"

/**
 * struct check - what a check of roots needs
 * @heap: whose
 * @reported: faults reported so far, in objects too
 * @faults: pointers that lead to no object
 */
struct check {
	struct gcheap *heap;
	uint64_t reported;
	uint64_t faults;
};

/* A pointer that some root holds; @format and what follows it say which. */
static void __attribute__((format(printf, 3, 4)))
check_root(struct check *check, const void *pointer, const char *format, ...)
{
	char holder[160], where[BAD_POINTER_TEXT];
	va_list args;

	if (inspect_pointer(check->heap, pointer))
		return;
	check->faults++;
	if (check->reported++ >= VERIFY_REPORTS_MAX)
		return;
	va_start(args, format);
	vsnprintf(holder, sizeof(holder), format, args);
	va_end(args);
	report("gcheap: verify: %s: the pointer %p leads %s\n", holder, pointer,
	       bad_pointer_describe(check->heap, pointer, where));
}

static void check_precise(struct check *check, const struct root *root)
{
	void *const *slots = root->start;
	size_t i;

	for (i = 0; i < root->count; i++)
		check_root(check, slots[i], "root %zu of %zu at %p", i, root->count, root->start);
}

static void check_typed(struct check *check, const struct root *root)
{
	struct typed_pointers tp = root_pointers(&check->heap->view, root, 0, root->count);
	uint64_t start = (uint64_t)(uintptr_t)root->start;
	uint64_t address;

	while ((address = typed_pointers_next(&tp)))
		check_root(check, *(void *const *)(uintptr_t)address,
			   "root at %p, %zu of type %u, byte %llu", root->start, root->count,
			   root->type, (unsigned long long)(address - start));
}

static void check_frames(struct check *check, const struct thread *thread)
{
	size_t used = thread->fast.frames_used;
	uint64_t before = check->faults;
	size_t at, i;

	for (at = 0; at < used; at += thread->fast.frames[at]) {
		const uintptr_t *entry = &thread->fast.frames[at];

		for (i = 0; i < frame_count(entry); i++) {
			void *const *variable = frame_variable(entry, i);

			check_root(check, *variable, "variable %zu of the frame at %p, at %p", i,
				   (const void *)frame_place(entry), (const void *)variable);
		}
	}
	if (check->faults > before)
		report("gcheap: verify: if longjmp() or a return passed by the end of that frame, "
		       "the heap may be right, and what lies there another function's: use "
		       "gcheap_frame_save() and gcheap_frame_restore(), or GCHEAP_FRAME_AUTO\n");
}

uint64_t verify_roots(struct gcheap *heap, uint64_t faults)
{
	struct check check = { .heap = heap, .reported = faults };
	const struct thread *thread;
	size_t i;

	pthread_mutex_lock(&heap->lock);
	for (i = 0; i < heap->roots.count; i++) {
		const struct root *root = &heap->roots.all[i];

		if (root->kind == ROOT_PRECISE)
			check_precise(&check, root);
		else if (root->kind == ROOT_TYPED)
			check_typed(&check, root);
	}
	pthread_mutex_unlock(&heap->lock);
	/* What lies where a frame was is none: all threads have dropped those when they stopped. */
	for (thread = heap->world.threads; thread; thread = thread->next)
		check_frames(&check, thread);
	return check.faults;
}

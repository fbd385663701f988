// SPDX-License-Identifier: MIT
/*
 * Functions that run when objects have died.
 *
 * A cycle finds objects with finalizers that roots do not lead to. It marks what these lead to, so
 * that a finalizer finds all of that. Those that are not marked themselves then, as no other one
 * leads to them, are queued, and taken out of the table: a finalizer runs once. The queue is a
 * root until a thread takes them off it, and what runs is one until it ends. In a later cycle such
 * an object is like any other.
 *
 * An object that leads to itself is marked by that, in each cycle: it never runs. To know of these
 * apart from those that wait for another one, each is followed alone: all where they are few, and
 * else those that have waited before.
 */
#include "finalizer.h"

#include <errno.h>
#include <limits.h>

#include "address.h"
#include "clock.h"
#include "entry.h"
#include "ephemeron.h"
#include "error.h"
#include "library.h"
#include "mark.h"
#include "rest.h"
#include "thread.h"

/* How many are marked together. */
#define MARK_TOGETHER	256u
/* Up to so many dead objects are each followed alone. */
#define ALONE_MAX	1024u

/* ---- setting ------------------------------------------------------------------- */

static int no_memory(const void *obj)
{
	return error_set(-ENOMEM, "out of memory for a function that is to run when %p has died",
			 obj);
}

/* An argument that leads into the heap is a root. */
static void argument_set(struct gcheap *heap, struct special *special, void *argument)
{
	special_list_remove(special);
	special->argument = argument;
	if (address_offset(&heap->view, argument) < heap->view.reserve_bytes)
		special_list_add(&heap->specials.arguments, special);
}

static int set_locked(struct gcheap *heap, uint64_t key, void *obj,
		      void (*fn)(void *obj, void *arg), void *arg)
{
	struct special *special = special_find(heap, key);

	if (!fn) {
		if (special)
			special_remove(heap, special);
		return 0;
	}
	if (!special)
		special = special_add(heap, key, obj);
	if (!special)
		return no_memory(obj);
	special->finalize = fn;
	special->has_waited = false;
	special->is_cyclic = false;
	argument_set(heap, special, arg);
	return 0;
}

int gcheap_finalizer_set(struct gcheap *heap, void *obj, void (*fn)(void *obj, void *arg),
			 void *arg)
{
	LIBRARY_ENTRY;
	uint64_t key;
	int error = special_begin(heap, obj, &key);

	if (error)
		return error;
	error = set_locked(heap, key | SPECIAL_FINALIZER, obj, fn, arg);
	specials_unlock(heap);
	return error;
}

/* A further one of an object, behind the first, which is the table's. */
static struct special *cleanup_make(struct gcheap *heap, uint64_t key, void *obj)
{
	struct special *first = special_find(heap, key);
	struct special *special;

	if (!first)
		return special_add(heap, key, obj);
	special = pool_alloc(&heap->specials.records);
	if (!special)
		return NULL;
	*special = (struct special) { .key = key, .object = obj, .next = first->next };
	first->next = special;
	return special;
}

/* Whether an address is in the slot of an object, which would never die. */
static bool leads_to(const struct gcheap *heap, uint64_t key, const void *address)
{
	uint64_t offset = address_offset(&heap->view, address);
	struct slot slot, object;

	return offset < address_end(&heap->view) && address_slot(&heap->view, offset, &slot) &&
	       address_slot(&heap->view, SPECIAL_OFFSET(key), &object) &&
	       slot.offset == object.offset;
}

int gcheap_cleanup_add(struct gcheap *heap, void *obj, void (*fn)(void *arg), void *arg)
{
	LIBRARY_ENTRY;
	struct special *special;
	uint64_t key;
	int error;

	if (!fn)
		return error_set(-EINVAL, "the function of a cleanup is NULL");
	error = special_begin(heap, obj, &key);
	if (error)
		return error;
	if (leads_to(heap, key, arg)) {
		specials_unlock(heap);
		return error_set(-EINVAL, "the argument of a cleanup leads to its object, which "
				 "would never die: pass what the object has, or set a finalizer");
	}
	special = cleanup_make(heap, key | SPECIAL_CLEANUP, obj);
	if (special) {
		special->cleanup = fn;
		argument_set(heap, special, arg);
	}
	specials_unlock(heap);
	return special ? 0 : no_memory(obj);
}

/* Takes a record of the chain out, which begins with @first. */
static void cleanup_remove(struct gcheap *heap, struct special *first, struct special *before,
			   struct special *special)
{
	struct special *second = first->next;

	if (before) {
		before->next = special->next;
		special_list_remove(special);
		pool_free(&heap->specials.records, special);
	} else if (!second) {
		special_remove(heap, first);
	} else {
		/* The first stays: it has what the second had. */
		first->cleanup = second->cleanup;
		argument_set(heap, first, second->argument);
		first->next = second->next;
		special_list_remove(second);
		pool_free(&heap->specials.records, second);
	}
}

int gcheap_cleanup_remove(struct gcheap *heap, void *obj, void (*fn)(void *arg), void *arg)
{
	LIBRARY_ENTRY;
	struct special *first, *special, *before = NULL;
	uint64_t key;
	int error = special_begin(heap, obj, &key);

	if (error)
		return error;
	first = special_find(heap, key | SPECIAL_CLEANUP);
	for (special = first; special; special = special->next) {
		if (special->cleanup == fn && special->argument == arg)
			break;
		before = special;
	}
	if (special)
		cleanup_remove(heap, first, before, special);
	else
		error = error_set(-ENOENT, "%p has no cleanup of this function and argument", obj);
	specials_unlock(heap);
	return error;
}

/* ---- cycles ---------------------------------------------------------------------- */

/* Marks what a list has: arguments, and objects where @objects says so. */
static uint64_t list_mark(struct gcheap *heap, const struct special_link *list, bool objects)
{
	const struct special_link *link;
	void *pointers[MARK_TOGETHER];
	uint64_t bytes = 0;
	size_t count = 0;

	for (link = list->next; link != list; link = link->next) {
		const struct special *special = (const struct special *)link;

		pointers[count++] = special->argument;
		if (objects && SPECIAL_KIND(special->key) == SPECIAL_FINALIZER)
			pointers[count++] = special->object;
		bytes += 2 * sizeof(*pointers);
		if (count > MARK_TOGETHER - 2) {
			mark_slots_here(heap->marker, pointers, count);
			count = 0;
		}
	}
	mark_slots_here(heap->marker, pointers, count);
	return bytes;
}

uint64_t finalizers_mark(struct gcheap *heap)
{
	struct specials *specials = &heap->specials;

	return list_mark(heap, &specials->arguments, false) +
	       list_mark(heap, &specials->queue, true) +
	       list_mark(heap, &specials->running, true);
}

static bool is_marked(const struct gcheap *heap, const struct special *special)
{
	return mark_is_set(heap->marker, special_granule(special->key));
}

/* Follows one object alone: does it lead to itself? */
static void settle_alone(struct gcheap *heap, struct special *special)
{
	special->is_cyclic = false;
	if (is_marked(heap, special))
		return;
	mark_from_object(heap->marker, SPECIAL_OFFSET(special->key));
	ephemerons_follow(heap);
	special->is_cyclic = is_marked(heap, special);
	heap->specials.cyclic += special->is_cyclic;
}

static void enqueue(struct gcheap *heap, struct special *special, uint64_t now)
{
	special_list_remove(special);
	special->queued_ns = now;
	special->is_queued = true;
	special_list_add(&heap->specials.queue, special);
	heap->specials.queued++;
}

/* Marks the objects of a chain. */
static void chain_mark(struct gcheap *heap, const struct special *special)
{
	void *objects[MARK_TOGETHER];
	size_t count = 0;

	for (; special; special = special->next) {
		objects[count++] = special->object;
		if (count == MARK_TOGETHER) {
			mark_slots_here(heap->marker, objects, count);
			count = 0;
		}
	}
	mark_slots_here(heap->marker, objects, count);
}

void finalizers_settle(struct gcheap *heap, struct dead *dead)
{
	struct special *special, *next, **last = &dead->outermost;
	bool all_alone = dead->count <= ALONE_MAX;

	for (special = dead->first; special && (all_alone || dead->waited);
	     special = special->next) {
		if (all_alone || special->has_waited)
			settle_alone(heap, special);
	}
	for (special = dead->first; special && !all_alone; special = special->next) {
		if (!special->has_waited)
			mark_from_object(heap->marker, SPECIAL_OFFSET(special->key));
	}
	ephemerons_follow(heap);
	for (special = dead->first; special; special = next) {
		next = special->next;
		if (is_marked(heap, special)) {
			special->has_waited = true;
			continue;
		}
		*last = special;
		last = &special->next;
	}
	*last = NULL;
	/* Their arguments are roots. */
	chain_mark(heap, dead->outermost);
	ephemerons_follow(heap);
}

void finalizers_queue(struct gcheap *heap, const struct dead *dead)
{
	struct special *special, *next;
	uint64_t now = clock_ns();

	for (special = dead->outermost; special; special = next) {
		next = special->next;
		enqueue(heap, special, now);
	}
}

void cleanups_queue(struct gcheap *heap, struct special *first)
{
	uint64_t now = clock_ns();
	struct special *next;

	for (; first; first = next) {
		next = first->next;
		enqueue(heap, first, now);
	}
}

uint64_t finalizers_wait_ns(const struct gcheap *heap)
{
	const struct specials *specials = &heap->specials;
	uint64_t now = clock_ns();
	const struct special *first = (const struct special *)specials->queue.next;

	return special_list_is_empty(&specials->queue) ? 0 : now - first->queued_ns;
}

/* ---- running ---------------------------------------------------------------------- */

/*
 * Ends what has run, if anything has, and begins the next of the queue, up to the one with number
 * @last. NULL: there is none.
 */
static struct special *run_next(struct thread *thread, struct special *ended, uint64_t last)
{
	LIBRARY_ENTRY;
	struct gcheap *heap = thread->heap;
	struct specials *specials = &heap->specials;
	struct special *special = NULL;

	specials_lock(heap);
	if (ended) {
		special_list_remove(ended);
		pool_free(&specials->records, ended);
		specials->ended++;
	}
	if (!special_list_is_empty(&specials->queue) && specials->begun < last) {
		special = (struct special *)specials->queue.next;
		special_list_remove(special);
		special->thread = thread;
		special_list_add(&specials->running, special);
		specials->begun++;
	}
	specials_unlock(heap);
	return special;
}

/* The number of the last that is queued now, or an error. */
static int64_t run_begin(const struct thread *thread)
{
	LIBRARY_ENTRY;
	int64_t last;
	int error;

	if (!thread)
		return error_set(-EINVAL, "the thread is NULL: attach one with "
				 "gcheap_thread_attach()");
	error = heap_check(thread->heap);
	if (error)
		return error;
	if (thread_hindrance(thread))
		return error_set(-EINVAL, "%s", thread_hindrance(thread));
	specials_lock(thread->heap);
	last = (int64_t)thread->heap->specials.queued;
	specials_unlock(thread->heap);
	return last;
}

bool finalizers_any_queued(struct gcheap *heap)
{
	LIBRARY_ENTRY;
	bool any;

	specials_lock(heap);
	any = !special_list_is_empty(&heap->specials.queue);
	specials_unlock(heap);
	return any;
}

void finalizers_wake(struct gcheap *heap)
{
	if (!__atomic_exchange_n(&heap->finalizer_thread.work, 1, __ATOMIC_SEQ_CST))
		rest_word_wake(&heap->finalizer_thread.work);
}

/* What the program does there is not the library's: it may be stopped, and end the thread. */
int finalizers_run(struct thread *thread, const uint32_t *quits)
{
	int64_t last = run_begin(thread);
	struct special *special;
	struct gcheap *heap;
	uint64_t number;
	int count = 0;

	if (last < 0)
		return (int)last;
	heap = thread->heap;
	number = thread->number;
	special = run_next(thread, NULL, (uint64_t)last);
	while (special) {
		if (SPECIAL_KIND(special->key) == SPECIAL_FINALIZER)
			special->finalize(special->object, special->argument);
		else
			special->cleanup(special->argument);
		count += count < INT_MAX;
		/*
		 * It has detached this thread, and perhaps attached it again: what ran there is
		 * forgotten. Or it has called fork(): the child has no specials.
		 */
		if (rest_self(heap) != thread || thread->number != number || !heap_is_here(heap))
			break;
		if (__atomic_load_n(quits, __ATOMIC_SEQ_CST))
			last = 0;
		special = run_next(thread, special, (uint64_t)last);
	}
	return count;
}

int gcheap_run_finalizers(struct gcheap_thread *fast)
{
	static const uint32_t never;

	return finalizers_run((struct thread *)fast, &never);
}

void finalizers_detach(const struct thread *thread)
{
	struct specials *specials = &thread->heap->specials;
	struct special_link *link, *next;

	specials_lock(thread->heap);
	for (link = specials->running.next; link != &specials->running; link = next) {
		struct special *special = (struct special *)link;

		next = link->next;
		if (special->thread != thread)
			continue;
		special_list_remove(special);
		pool_free(&specials->records, special);
		specials->ended++;
	}
	specials_unlock(thread->heap);
}

/* ---- cycles among objects ------------------------------------------------------------ */

int gcheap_finalizer_cycles(struct gcheap *heap, void **objects, size_t n)
{
	LIBRARY_ENTRY;
	const struct tree_node *leaf;
	uint64_t i, count = 0;
	int error = heap_check(heap);

	if (error)
		return error;
	if (!objects && n)
		return error_set(-EINVAL, "the objects to fill in are NULL");
	specials_lock(heap);
	for (leaf = heap->specials.tree.first; leaf; leaf = leaf->next) {
		for (i = 0; i < leaf->count; i++) {
			const struct special *special = leaf->values[i];

			if (SPECIAL_KIND(special->key) != SPECIAL_FINALIZER || !special->is_cyclic)
				continue;
			if (count < n)
				objects[count] = special->object;
			count++;
		}
	}
	specials_unlock(heap);
	return count < INT_MAX ? (int)count : INT_MAX;
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Requests: from a user's struct to kmod/core and back, whatever door they came
 * by.
 *
 * One table says of each operation which struct it has and who handles it. What
 * all have in common is done once, in this order, so that a request that fails
 * has changed nothing:
 *
 *	1. the caller must be the heap's owner
 *	2. the struct is copied in; its size decides what it holds
 *	3. it is copied out again unchanged: the answer will find room
 *	4. the heap is locked, and kmod/core validates and does the work
 *	5. the figures in CTRL are brought up to date, the answer copied out
 *
 * The same is done for the arrays that a request points to, by its handler.
 */
#include <linux/nospec.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "module.h"

/* What this module has beside what every port of kmod/core has. */
#define SETUP_FLAGS	0u
#define SETUP_FEATURES	0ull

/**
 * struct request - one operation
 * @run: does it, with the heap locked; 0 or a negative errno
 * @size: of its struct, in this version of the interface
 * @required: up to the last field that a caller must have
 */
struct request {
	int (*run)(struct gcheap_heap *heap, union request_args *args);
	u32 size;
	u32 required;
};

/**
 * request_setup() - GCHEAP_OP_SETUP: make an open file a heap
 * @heap: the file's
 * @args: struct gcheap_setup
 *
 * Return:
 * * 0		- the caller's address space is the owner
 * * -EBUSY	- it is already
 * * -EINVAL	- bad reserve, or a reserved field is not zero
 * * -EOPNOTSUPP - unknown flag or layout
 * * -ENOMEM	- out of memory
 */
static int request_setup(struct gcheap_heap *heap, union request_args *args)
{
	struct gcheap_setup *setup = &args->setup;
	int error;

	if (heap->owner)
		return -EBUSY;
	error = heap_setup_check(setup, SETUP_FLAGS, SETUP_FEATURES);
	if (error)
		return error;
	error = heap_init(&heap->core, setup);
	if (error) {
		tables_destroy(heap);
		memset(&heap->core, 0, sizeof(heap->core));
		return error;
	}
	memcpy(heap->region_bytes, setup->out_region_bytes, sizeof(heap->region_bytes));
	heap->live = true;
	mmgrab(current->mm);
	/* Pairs with smp_load_acquire() in request_may() and mapping_mmap(). */
	smp_store_release(&heap->owner, current->mm);
	return 0;
}

/**
 * request_type_add() - GCHEAP_OP_TYPE_ADD: register a type
 * @heap: the heap
 * @args: struct gcheap_type_add
 *
 * Return:
 * * 0		- registered
 * * -EINVAL	- a number, the name, the mask or the program is against the rules
 * * -EOPNOTSUPP - unknown flag
 * * -EFAULT	- name, mask or program cannot be read
 * * -ENOSPC	- the table is full
 * * -ENOMEM	- out of memory
 * * -EINTR	- a fatal signal arrived
 */
static int request_type_add(struct gcheap_heap *heap, union request_args *args)
{
	struct gcheap_type_add *add = &args->type_add;
	const void __user *user_map;
	u32 map_bytes;
	int error;
	u8 *copy;

	error = type_check(add);
	if (error)
		return error;
	/* All are bounded now: the mask by TYPE_MASK_BYTES_MAX. */
	map_bytes = type_map_bytes(add);
	user_map = u64_to_user_ptr(add->gc_prog ? add->gc_prog : add->ptr_mask);
	copy = kvmalloc((size_t)map_bytes + add->name_bytes + 1, GCHEAP_GFP);
	if (!copy)
		return -ENOMEM;
	if (copy_from_user(copy, user_map, map_bytes) ||
	    copy_from_user(copy + map_bytes, u64_to_user_ptr(add->name), add->name_bytes)) {
		error = -EFAULT;
		goto free_copy;
	}
	error = type_add(&heap->core, add, (char *)copy + map_bytes, copy);
free_copy:
	kvfree(copy);
	return error;
}

/**
 * request_refill() - GCHEAP_OP_REFILL: return spans and take others
 * @heap: the heap
 * @args: struct gcheap_refill
 *
 * Return:
 * * 0		- done; @out_granted tells how many spans were taken
 * * -EINVAL	- a page that is no cached span, a bad class or type
 * * -EOVERFLOW	- too long an array
 * * -EOPNOTSUPP - unknown flag
 * * -EFAULT	- an array cannot be accessed
 * * -ENOMEM	- not one span could be had; nothing was returned either
 */
static int request_refill(struct gcheap_heap *heap, union request_args *args)
{
	struct gcheap_refill *refill = &args->refill;
	void __user *user_returns = u64_to_user_ptr(refill->returns);
	void __user *user_grants = u64_to_user_ptr(refill->grants);
	size_t returns_bytes, grants_bytes;
	struct gcheap_grant *grants;
	struct central_key key = {};
	u32 *returns;
	int error;

	/* Bounds both counts. */
	error = heap_refill_check(&heap->core, refill, NULL, NULL);
	if (error)
		return error;
	returns_bytes = refill->return_count * sizeof(*returns);
	grants_bytes = refill->want_bytes ? refill->grant_count * sizeof(*grants) : 0;
	grants = kmalloc(grants_bytes + returns_bytes, GCHEAP_GFP);
	if (!grants)
		return -ENOMEM;
	returns = (void *)grants + grants_bytes;

	error = -EFAULT;
	if (copy_from_user(returns, user_returns, returns_bytes))
		goto free_arrays;
	if (clear_user(user_grants, grants_bytes))
		goto free_arrays;
	error = heap_refill_check(&heap->core, refill, returns, &key);
	if (error)
		goto free_arrays;
	error = heap_refill(&heap->core, refill, returns, grants, &key);
	if (error)
		goto free_arrays;
	if (copy_to_user(user_grants, grants, refill->out_granted * sizeof(*grants)))
		error = -EFAULT;
free_arrays:
	kfree(grants);
	return error;
}

static int request_alloc_large(struct gcheap_heap *heap, union request_args *args)
{
	return heap_alloc_large(&heap->core, &args->alloc_large);
}

static int request_mark_start(struct gcheap_heap *heap, union request_args *args)
{
	return heap_mark_start(&heap->core, &args->mark_start);
}

static int request_sweep_start(struct gcheap_heap *heap, union request_args *args)
{
	return heap_sweep_start(&heap->core, &args->sweep_start);
}

static int request_sweep(struct gcheap_heap *heap, union request_args *args)
{
	return heap_sweep(&heap->core, &args->sweep);
}

static int request_stats(struct gcheap_heap *heap, union request_args *args)
{
	return heap_stats(&heap->core, &args->stats);
}

static int request_free_large(struct gcheap_heap *heap, union request_args *args)
{
	return heap_free_large(&heap->core, &args->free_large);
}

static int request_reclaim(struct gcheap_heap *heap, union request_args *args)
{
	return heap_reclaim(&heap->core, &args->reclaim);
}

static int request_scavenge(struct gcheap_heap *heap, union request_args *args)
{
	return heap_scavenge(&heap->core, &args->scavenge);
}

static int request_chunk_new(struct gcheap_heap *heap, union request_args *args)
{
	return heap_chunk_new(&heap->core, &args->chunk_new);
}

static int request_chunk_free(struct gcheap_heap *heap, union request_args *args)
{
	return heap_chunk_free(&heap->core, &args->chunk_free);
}

static int request_chunk_ready(struct gcheap_heap *heap, union request_args *args)
{
	return heap_chunk_ready(&heap->core, &args->chunk_ready);
}

#define REQUEST(op, handler, type, last_required)			\
	[op] = {							\
		.run = handler,						\
		.size = sizeof(type),					\
		.required = offsetofend(type, last_required),		\
	}

static const struct request requests[GCHEAP_OPS] = {
	REQUEST(GCHEAP_OP_SETUP, request_setup, struct gcheap_setup, out_region_bytes),
	REQUEST(GCHEAP_OP_TYPE_ADD, request_type_add, struct gcheap_type_add, out_type),
	REQUEST(GCHEAP_OP_REFILL, request_refill, struct gcheap_refill, grants),
	REQUEST(GCHEAP_OP_ALLOC_LARGE, request_alloc_large, struct gcheap_alloc_large, out_flags),
	REQUEST(GCHEAP_OP_MARK_START, request_mark_start, struct gcheap_mark_start,
		out_swept_spans),
	REQUEST(GCHEAP_OP_SWEEP_START, request_sweep_start, struct gcheap_sweep_start,
		goal_bytes),
	REQUEST(GCHEAP_OP_SWEEP, request_sweep, struct gcheap_sweep, out_unswept_spans),
	REQUEST(GCHEAP_OP_STATS, request_stats, struct gcheap_heap_stats, flags),
	REQUEST(GCHEAP_OP_FREE_LARGE, request_free_large, struct gcheap_free_large, page),
	REQUEST(GCHEAP_OP_RECLAIM, request_reclaim, struct gcheap_reclaim, out_left),
	REQUEST(GCHEAP_OP_SCAVENGE, request_scavenge, struct gcheap_scavenge, out_free_bytes),
	REQUEST(GCHEAP_OP_CHUNK_NEW, request_chunk_new, struct gcheap_chunk_new, out_flags),
	REQUEST(GCHEAP_OP_CHUNK_FREE, request_chunk_free, struct gcheap_chunk_free, page),
	REQUEST(GCHEAP_OP_CHUNK_READY, request_chunk_ready, struct gcheap_chunk_ready, page),
	REQUEST(GCHEAP_OP_TRACK, request_track, struct gcheap_track, out_end),
};

/* Whether the caller may send this operation at all. */
static int request_may(struct gcheap_heap *heap, u32 op)
{
	/* Pairs with smp_store_release() in request_setup(). */
	struct mm_struct *owner = smp_load_acquire(&heap->owner);

	if (owner)
		return owner == current->mm ? 0 : -EPERM;
	return op == GCHEAP_OP_SETUP && current->mm ? 0 : -ENXIO;
}

/**
 * request_handle() - one request
 * @heap: the heap
 * @op: enum gcheap_op; any number
 * @user: address of its struct
 *
 * Return: 0; -ENOTTY unknown request; else see <linux/gcheap.h>.
 */
int request_handle(struct gcheap_heap *heap, u32 op, void __user *user)
{
	const struct request *request;
	union request_args args;
	u32 size, known;
	int error;

	if (op >= GCHEAP_OPS)
		return -ENOTTY;
	op = array_index_nospec(op, GCHEAP_OPS);
	request = &requests[op];
	error = request_may(heap, op);
	if (error)
		return error;

	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	if (size < request->required)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	error = copy_struct_from_user(&args, request->size, user, size);
	if (error)
		return error;
	args.size = size;	/* it may have been changed in between */
	known = min(size, request->size);
	if (copy_to_user(user, &args, known))
		return -EFAULT;

	if (mutex_lock_killable(&heap->lock))
		return -EINTR;
	/* Another thread may have been faster with SETUP, or failed. */
	error = request_may(heap, op);
	if (!error)
		error = request->run(heap, &args);
	if (heap->live)
		heap_publish(&heap->core);
	mutex_unlock(&heap->lock);
	if (error)
		return error;

	return copy_to_user(user, &args, known) ? -EFAULT : 0;
}

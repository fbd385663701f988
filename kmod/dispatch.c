// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Every request passes here, by whichever door it came: from the user's struct to
 * kmod/core and back.
 *
 * A table (ops.c) says of each operation which struct it has and which function handles
 * it. This file does what all requests have in common, in this order, so that a request
 * that fails has changed nothing:
 *
 *	1. it checks that the caller is the heap's owner
 *	2. it copies the struct in; the struct's size decides what it holds
 *	3. it writes the struct's first and last bytes back unchanged, which proves
 *	   that the answer can be written
 *	4. it locks the heap, and kmod/core validates the request and carries it out
 *	5. it brings the figures in CTRL up to date, and copies the answer out
 *
 * A request that may take long does its work in pieces, and others get the lock in
 * between. It ends early when its caller dies, or, in a worker of io_uring, when its
 * ring goes or it is cancelled: see interrupted().
 */
#include <linux/nospec.h>

#include "dispatch.h"
#include "fault.h"
#include "interrupted.h"
#include "memlock.h"
#include "module.h"
#include "op.h"
#include "ops.h"
#include "owner.h"
#include "poison.h"
#include "pressure.h"
#include "trace_ops.h"
#include "user.h"

/* Whether the caller may send this operation at all. */
static int dispatch_may(struct gcheap_heap *heap, u32 number)
{
	/* Pairs with smp_store_release() in op_setup(). */
	struct mm_struct *owner = smp_load_acquire(&heap->owner);

	if (owner)
		return owner == current->mm ? 0 : -EPERM;
	return number == GCHEAP_OP_SETUP && current->mm ? 0 : -ENXIO;
}

/* With @nowait, -EAGAIN says that somebody else has the lock. */
static int dispatch_lock(struct gcheap_heap *heap, bool nowait)
{
	int error;

	if (mutex_trylock(&heap->lock))
		goto locked;
	if (nowait)
		return -EAGAIN;
	atomic_inc(&heap->waiting);
	error = mutex_lock_killable(&heap->lock);
	atomic_dec(&heap->waiting);
	if (error)
		return -EINTR;
locked:
	WRITE_ONCE(heap->turns, heap->turns + 1);
	return 0;
}

/*
 * Between pieces, once @turn has ended: whoever waits for the lock gets it first. A mutex
 * alone does not see to that: its last holder, who asks again at once, is faster than
 * any other.
 *
 * Return: 0, or -EINTR.
 */
static int dispatch_give_way(struct gcheap_heap *heap, unsigned int turn)
{
	unsigned int looks = 0;

	do {
		if (interrupted())
			return -EINTR;
		/* Whoever waits may have no other CPU, and a lower priority. */
		if (++looks % 65536 == 0)
			schedule_timeout_killable(1);
		cpu_relax();
	} while (atomic_read(&heap->waiting) && READ_ONCE(heap->turns) == turn);
	return 0;
}

/*
 * What is done with the heap locked: the whole request, or a piece of it. With
 * @nowait, -EAGAIN says that it is for somebody who may wait, and nothing was done.
 */
static int dispatch_run(struct gcheap_heap *heap, u32 number, union op_args *args,
			struct progress *progress, bool nowait)
{
	const struct op *op = &ops[number];
	int error;

	error = dispatch_lock(heap, nowait);
	if (error)
		return error;
	/* Another thread may have been faster with SETUP, or failed. */
	error = dispatch_may(heap, number);
	if (error)
		goto unlock;
	if (READ_ONCE(heap->forsaken)) {
		error = -ENXIO;
		goto unlock;
	}
	if (nowait && ((heap->live && poison_is_due(heap)) ||
		       (op->is_long && op->is_long(heap, args)))) {
		error = -EAGAIN;
		goto unlock;
	}
	if (heap->live)
		poison_look(heap);
	fault_count(heap);
	error = op->piece ? op->piece(heap, args, progress) : op->run(heap, args);
	/* To kmod/core, memory that was not populated is memory that is not there. */
	if (error == -ENOMEM && interrupted())
		error = -EINTR;
	progress->generation = heap->core.generation;
	progress->turn = heap->turns;
	progress->begun = true;
	if (heap->live)
		heap_publish(&heap->core);
	pressure_request_end(heap, number, error);
	memlock_count(heap);
unlock:
	mutex_unlock(&heap->lock);
	return error;
}

/* The same for what is done without the lock. */
static int dispatch_apart(struct gcheap_heap *heap, const struct op *op, union op_args *args,
			  bool nowait)
{
	if (READ_ONCE(heap->forsaken))
		return -ENXIO;
	if (nowait && op->is_long)
		return -EAGAIN;
	return op->apart(heap, args);
}

/*
 * After an error: undoes what pieces have done, in pieces too, whatever signals there
 * are. A heap that was forsaken meanwhile has given back what it had, but not what was
 * these pieces'.
 */
static void dispatch_undo(struct gcheap_heap *heap, u32 number, union op_args *args,
			  struct progress *progress)
{
	const struct op *op = &ops[number];
	int more;

	do {
		mutex_lock(&heap->lock);
		WRITE_ONCE(heap->turns, heap->turns + 1);
		progress->turn = heap->turns;
		more = op->undo(heap, args, progress);
		if (heap->live)
			heap_publish(&heap->core);
		if (more != OP_MORE && READ_ONCE(heap->forsaken))
			owner_forsook(heap);
		memlock_count(heap);
		mutex_unlock(&heap->lock);
		/* As dispatch_give_way(), which would end here. */
		while (more && atomic_read(&heap->waiting) &&
		       READ_ONCE(heap->turns) == progress->turn)
			schedule_timeout_uninterruptible(1);
	} while (more == OP_MORE);
}

/* Copies a request in. Return: 0 or a negative errno. */
static int dispatch_read(const struct op *op, void __user *user, u32 size,
			 union op_args *args)
{
	u32 known = min(size, op->size);
	int error;

	if (size < op->required)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	error = copy_struct_from_user(args, op->size, user, size);
	if (error)
		return error;
	args->size = size;	/* it may have been changed in between */
	if (!op->pure &&
	    !user_is_writable(user, size, known, ((const u8 *)args)[known - 1]))
		return -EFAULT;
	return 0;
}

/*
 * The same for one whose struct has exactly the size of this version, which nearly all
 * have, while the door is open once. Return: false: look closer.
 */
static bool dispatch_read_usual(const struct op *op, void __user *user,
				union op_args *args)
{
	const u32 bytes = op->size;
	u64 *words = (u64 *)args;
	u32 size, at;

	if (!user_access_begin(user, bytes))
		return false;
	unsafe_get_user(size, (u32 __user *)user, fault);
	if (size != bytes)
		goto fault;
	for (at = 0; at < bytes / sizeof(*words); at++)
		unsafe_get_user(words[at], (u64 __user *)user + at, fault);
	args->size = size;	/* it may have been changed in between */
	if (!op->pure) {
		unsafe_put_user(size, (u32 __user *)user, fault);
		unsafe_put_user(((const u8 *)args)[bytes - 1], (u8 __user *)user + bytes - 1,
				fault);
	}
	user_access_end();
	return true;

fault:
	user_access_end();
	return false;
}

/**
 * dispatch_request() - one request
 * @heap: the heap
 * @number: enum gcheap_op; any number
 * @user: address of its struct
 * @nowait: do it only if it takes no time: without waiting for the heap's lock, and
 *	without much work
 *
 * Return: 0; -ENOTTY unknown request; -EAGAIN with @nowait: nothing was done; else
 * see <linux/gcheap.h>.
 */
int dispatch_request(struct gcheap_heap *heap, u32 number, void __user *user, bool nowait)
{
	struct progress progress = {};
	const struct op *op;
	union op_args args;
	u32 size;
	u64 begin;
	int error;

	if (number >= GCHEAP_OPS)
		return -ENOTTY;
	number = array_index_nospec(number, GCHEAP_OPS);
	op = &ops[number];
	error = dispatch_may(heap, number);
	if (error)
		return error;

	if (!dispatch_read_usual(op, user, &args)) {
		if (get_user(size, (u32 __user *)user))
			return -EFAULT;
		error = dispatch_read(op, user, size, &args);
		if (error)
			return error;
	}

	begin = trace_op_begin(number);
	if (op->apart)
		error = dispatch_apart(heap, op, &args, nowait);
	else
		error = dispatch_run(heap, number, &args, &progress, nowait);
	/* It is longer than it looked: somebody who may wait does it, from the beginning. */
	if (error == OP_MORE && nowait && op->undo)
		error = -EAGAIN;
	while (error == OP_MORE) {
		error = dispatch_give_way(heap, progress.turn);
		if (!error)
			error = dispatch_run(heap, number, &args, &progress, false);
	}
	if (progress.begun && op->end) {
		mutex_lock(&heap->lock);
		error = op->end(heap, &args, &progress, error);
		if (heap->live)
			heap_publish(&heap->core);
		mutex_unlock(&heap->lock);
	}
	if (error && progress.begun && op->undo)
		dispatch_undo(heap, number, &args, &progress);
	/* Where it was not begun, it will come again, and be reported then. */
	if (!(nowait && error == -EAGAIN))
		trace_op_end(heap, number, &args, error, begin);

	/* What was done in pieces is done: its caller hears how much it is. */
	if (error && !(error == -EINTR && op->piece && !op->undo && progress.begun))
		return error;
	if (user_write(user, &args, min(args.size, op->size)))
		return error;
	if (op->unheard)
		op->unheard(heap);
	return -EFAULT;
}

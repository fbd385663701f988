/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What lies between the door that requests come by (request.c) and what they do
 * (operations.c): the table of operations, and memory of the process.
 */
#ifndef GCHEAP_REQUEST_H
#define GCHEAP_REQUEST_H

#include <linux/uaccess.h>

#include "module.h"

/* From a @piece function: there is more to do. No errno is positive. */
#define REQUEST_MORE	1

/**
 * struct track_work - a TRACK that is being done
 * @page: the heap page to go on with
 * @end: where it ends
 * @ranges: room for the answer, or NULL
 * @max: for how many
 * @begun: the request was found to be right
 * @any: there has been a piece, and the outputs tell of it
 */
struct track_work {
	u32 page;
	u32 end;
	struct gcheap_range *ranges;
	u32 max;
	bool begun;
	bool any;
};

/**
 * struct progress - of a request that is done in pieces
 * @done: spans, heap pages or bytes, as the request counts
 * @freed: SWEEP: spans freed
 * @limit: SCAVENGE: do no more than this
 * @generation: sweep generation at the last piece
 * @turn: gcheap_heap.turns then
 * @prepared: MARK_START: marks are being cleared
 * @begun: there has been a first piece
 * @large: ALLOC_LARGE: the object that is being made
 * @track: TRACK: the answer so far
 */
struct progress {
	u64 done;
	u64 freed;
	u64 limit;
	u32 generation;
	unsigned int turn;
	bool prepared;
	bool begun;
	struct large_work large;
	struct track_work track;
};

/**
 * struct request - one operation
 * @run: does it, with the heap locked; 0 or a negative errno
 * @piece: instead of @run: does a part of it, with the heap locked. Between the
 *	parts anybody may have done anything. 0, a negative errno, or REQUEST_MORE
 * @undo: undoes a part of what pieces have done, after an error, with the heap locked; 0,
 *	or REQUEST_MORE. NULL: what they have done is done, and the caller hears of it
 * @end: called once after the last piece, with the heap locked, and with what the request
 *	would return; returns what it does. NULL: nothing is to be done
 * @is_long: whether it is for a worker when it comes from a ring; NULL: never
 * @pure: it changes nothing, so that it does no harm when its answer finds no room
 * @size: of its struct, in this version of the interface
 * @required: up to the last field that a caller must have
 */
struct request {
	int (*run)(struct gcheap_heap *heap, union request_args *args);
	int (*piece)(struct gcheap_heap *heap, union request_args *args,
		     struct progress *progress);
	int (*undo)(struct gcheap_heap *heap, union request_args *args,
		    struct progress *progress);
	int (*end)(struct gcheap_heap *heap, union request_args *args,
		   struct progress *progress, int error);
	bool (*is_long)(struct gcheap_heap *heap, const union request_args *args);
	bool pure;
	u32 size;
	u32 required;
};

extern const struct request requests[GCHEAP_OPS];

/*
 * Whether an answer will find room: memory of a page at most, so that it lies in two
 * at most. @first and @last are what is written to its ends.
 */
static inline bool user_is_writable(void __user *user, u32 first, size_t bytes, u8 last)
{
	return !put_user(first, (u32 __user *)user) &&
	       !put_user(last, (u8 __user *)user + bytes - 1);
}

/*
 * Requests are short: words one by one are faster than a call that is made for pages.
 * To open the door to user memory and close it costs more than they do, so what stands
 * together is done while it is open once.
 */
static inline bool user_read(void *to, const void __user *user, size_t bytes)
{
	size_t at;

	if (!user_read_access_begin(user, bytes))
		return false;
	for (at = 0; bytes - at >= sizeof(u64); at += sizeof(u64))
		unsafe_get_user(*(u64 *)(to + at), (const u64 __user *)(user + at), fault);
	for (; at < bytes; at += sizeof(u32))
		unsafe_get_user(*(u32 *)(to + at), (const u32 __user *)(user + at), fault);
	user_read_access_end();
	return true;

fault:
	user_read_access_end();
	return false;
}

/* user_read() of some words of 32 bits, and user_is_writable() of other memory; 0 bytes: none. */
static inline bool user_read_beside(void *to, const void __user *user, size_t bytes,
				    void __user *answer, size_t answer_bytes)
{
	size_t at;

	if (!access_ok(answer, answer_bytes) || !user_access_begin(user, bytes))
		return false;
	for (at = 0; at < bytes; at += sizeof(u32))
		unsafe_get_user(*(u32 *)(to + at), (const u32 __user *)(user + at), fault);
	if (answer_bytes) {
		unsafe_put_user(0, (u32 __user *)answer, fault);
		unsafe_put_user(0, (u8 __user *)answer + answer_bytes - 1, fault);
	}
	user_access_end();
	return true;

fault:
	user_access_end();
	return false;
}

static inline bool user_write(void __user *user, const void *from, size_t bytes)
{
	size_t at;

	if (!user_write_access_begin(user, bytes))
		return false;
	for (at = 0; bytes - at >= sizeof(u64); at += sizeof(u64))
		unsafe_put_user(*(const u64 *)(from + at), (u64 __user *)(user + at), fault);
	for (; at < bytes; at++)
		unsafe_put_user(*(const u8 *)(from + at), (u8 __user *)(user + at), fault);
	user_write_access_end();
	return true;

fault:
	user_write_access_end();
	return false;
}

#endif /* GCHEAP_REQUEST_H */

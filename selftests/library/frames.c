// SPDX-License-Identifier: MIT
/*
 * What the tests of frames share.
 */
#include "frames.h"

void *new_leaf(struct fixture *f)
{
	void *leaf = gcheap_new_leaf(f->thread, 64);

	assert_non_null(leaf);
	return leaf;
}

void begin_at(struct fixture *f, struct gcheap_frame_ *place, void **variable)
{
	void *const slots[] = { variable };

	gcheap_frame_begin_(place, f->thread, slots, 1);
}

__attribute__((noinline)) void deeper(void (*function)(struct fixture *f), struct fixture *f)
{
	volatile char room[8192];

	room[0] = 0;
	function(f);
	room[sizeof(room) - 1] = room[0];
}

__attribute__((noinline)) void skip_one(struct fixture *f)
{
	void *object = new_leaf(f);

	GCHEAP_FRAME(f->thread, object);
}

jmp_buf jump;

__attribute__((noinline, noreturn)) void jump_out(struct fixture *f, int depth)
{
	void *object = new_leaf(f);

	GCHEAP_FRAME(f->thread, object);
	if (depth)
		jump_out(f, depth - 1);
	longjmp(jump, 1);
}

void jump_out_of_many(struct fixture *f)
{
	jump_out(f, 100);
}

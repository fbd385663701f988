// SPDX-License-Identifier: MIT
/*
 * A coroutine on a stack of the test's.
 */
#include "coroutine.h"

struct coroutine co;

void switch_to_main(void)
{
	assert_int_equal(swapcontext(&co.other, &co.main), 0);
}

void switch_to_other(void)
{
	assert_int_equal(swapcontext(&co.main, &co.other), 0);
}

static void coroutine(void)
{
	co.body();
}

void coroutine_make(char *stack, size_t bytes, void (*body)(void))
{
	co.body = body;
	co.stack = stack;
	assert_int_equal(getcontext(&co.other), 0);
	co.other.uc_stack.ss_sp = stack;
	co.other.uc_stack.ss_size = bytes;
	co.other.uc_link = &co.main;
	makecontext(&co.other, coroutine, 0);
}

int coroutine_setup(void **state)
{
	struct gcheap_config config = fixture_config();

	(void)state;
	memset(&co, 0, sizeof(co));
	config.flags = GCHEAP_CONSERVATIVE_STACKS;
	fixture_open_with(&co.f, &config);
	return 0;
}

int coroutine_teardown(void **state)
{
	(void)state;
	fixture_close(&co.f);
	return 0;
}

bool is_alive(uintptr_t hidden)
{
	struct gcheap_object found;

	return !gcheap_find(co.f.heap, SHOW(hidden), &found);
}

size_t count_alive(const uintptr_t *hidden)
{
	size_t alive = 0;
	size_t i;

	for (i = 0; i < KEPT; i++)
		alive += is_alive(hidden[i]);
	return alive;
}

__attribute__((noinline)) void fill(void *volatile *kept, uintptr_t *hidden)
{
	size_t i;

	for (i = 0; i < KEPT; i++) {
		kept[i] = gcheap_new_leaf(co.f.thread, 64);
		assert_non_null(kept[i]);
		hidden[i] = HIDE(kept[i]);
	}
}

__attribute__((noinline)) size_t switch_with_objects(void)
{
	void *volatile kept[KEPT];
	size_t alive;

	fill(kept, co.hidden);
	switch_to_other();
	alive = count_alive(co.hidden);
	/* Needed until here. */
	assert_non_null(kept[0]);
	return alive;
}

void collect_in_coroutine(void)
{
	stack_wipe();
	co.result = gcheap_collect(co.f.thread);
}

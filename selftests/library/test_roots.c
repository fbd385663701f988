// SPDX-License-Identifier: MIT
/*
 * Roots: each kind keeps alive what it points at, and nothing else.
 */
#include <stdio.h>
#include <time.h>

#include "library_test.h"

struct node {
	struct node *next;
	uint64_t scalar;
};

struct roots_fixture {
	struct fixture f;
	gcheap_type node;
};

static int setup(void **state)
{
	struct roots_fixture *r = malloc(sizeof(*r));

	fixture_open(&r->f);
	r->node = GCHEAP_TYPE(r->f.heap, struct node, next);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct roots_fixture *r = *state;

	fixture_close(&r->f);
	free(r);
	return 0;
}

static struct node *new_node(struct roots_fixture *r)
{
	struct node *node = gcheap_new(r->f.thread, r->node);

	assert_non_null(node);
	return node;
}

static struct node *new_list(struct roots_fixture *r, int length)
{
	struct node *list = NULL;

	/* No cycle starts by itself before much more is allocated. */
	while (length--) {
		struct node *node = new_node(r);

		node->next = list;
		list = node;
	}
	return list;
}

#define live(r)	live_after_collect(&(r)->f)

/* ---- registered -------------------------------------------------------------- */

static void test_nothing_is_alive_without_roots(void **state)
{
	struct roots_fixture *r = *state;

	new_list(r, 10);
	assert_int_equal(live(r), 0);
}

static void test_precise_slots_keep_what_they_reach(void **state)
{
	struct roots_fixture *r = *state;
	void *slots[3] = { new_list(r, 5), NULL, new_list(r, 7) };

	new_list(r, 100);
	assert_int_equal(gcheap_root_add(r->f.heap, slots, 3), 0);
	assert_int_equal(live(r), 12);
	slots[0] = NULL;
	assert_int_equal(live(r), 7);
	assert_int_equal(gcheap_root_remove(r->f.heap, slots), 0);
	assert_int_equal(live(r), 0);
}

static void test_typed_roots_follow_pointer_words_alone(void **state)
{
	struct roots_fixture *r = *state;
	struct node outside[4] = { { NULL, 0 } };

	outside[1].next = new_list(r, 3);
	outside[3].next = new_list(r, 4);
	outside[2].scalar = (uintptr_t)new_list(r, 50);
	assert_int_equal(gcheap_root_add_typed(r->f.heap, outside, r->node, 4), 0);
	assert_int_equal(live(r), 7);
	assert_int_equal(gcheap_root_remove(r->f.heap, outside), 0);
	assert_int_equal(live(r), 0);
}

static void test_ambiguous_roots_take_interior_pointers(void **state)
{
	struct roots_fixture *r = *state;
	uintptr_t words[4] = { 0 };

	words[0] = (uintptr_t)new_list(r, 3) + 8;
	words[1] = 1;
	words[2] = UINTPTR_MAX;
	words[3] = (uintptr_t)gcheap_new_leaf(r->f.thread, 100000) + 99999;
	assert_int_equal(gcheap_root_add_ambiguous(r->f.heap, words, sizeof(words)), 0);
	assert_int_equal(live(r), 4);
	words[0] = 0;
	assert_int_equal(live(r), 1);
	assert_int_equal(gcheap_root_remove(r->f.heap, words), 0);
	/* The last word is not wholly there. */
	assert_int_equal(gcheap_root_add_ambiguous(r->f.heap, words, sizeof(words) - 1), 0);
	assert_int_equal(live(r), 0);
	assert_int_equal(gcheap_root_remove(r->f.heap, words), 0);
}

static void test_ambiguous_roots_do_not_bring_back_free_slots(void **state)
{
	struct roots_fixture *r = *state;
	uintptr_t word = 0;
	void *keep = new_node(r);

	/* Slots after the first one of its span, allocated and dropped. */
	word = (uintptr_t)new_list(r, 20);
	assert_int_equal(gcheap_root_add(r->f.heap, &keep, 1), 0);
	assert_int_equal(live(r), 1);
	assert_int_equal(gcheap_root_add_ambiguous(r->f.heap, &word, sizeof(word)), 0);
	assert_int_equal(live(r), 1);
	assert_int_equal(gcheap_root_remove(r->f.heap, &word), 0);
	assert_int_equal(gcheap_root_remove(r->f.heap, &keep), 0);
}

static void test_a_root_added_twice_is_removed_twice(void **state)
{
	struct roots_fixture *r = *state;
	void *slots[2] = { new_node(r), new_node(r) };

	assert_int_equal(gcheap_root_add(r->f.heap, slots, 1), 0);
	assert_int_equal(gcheap_root_add(r->f.heap, slots, 2), 0);
	assert_int_equal(live(r), 2);
	assert_int_equal(gcheap_root_remove(r->f.heap, slots), 0);
	/* The latest is gone: one slot is left. */
	assert_int_equal(live(r), 1);
	assert_int_equal(gcheap_root_remove(r->f.heap, slots), 0);
	assert_int_equal(live(r), 0);
	assert_refused(gcheap_root_remove(r->f.heap, slots), ENOENT, "no root");
}

static void test_many_roots(void **state)
{
	enum { COUNT = 5000 };
	struct roots_fixture *r = *state;
	void **slots = calloc(COUNT, sizeof(*slots));
	int i;

	for (i = 0; i < COUNT; i++) {
		assert_int_equal(gcheap_root_add(r->f.heap, &slots[i], 1), 0);
		slots[i] = new_node(r);
	}
	assert_int_equal(live(r), COUNT);
	for (i = 0; i < COUNT; i += 2)
		assert_int_equal(gcheap_root_remove(r->f.heap, &slots[i]), 0);
	assert_int_equal(live(r), COUNT / 2);
	for (i = 1; i < COUNT; i += 2)
		assert_int_equal(gcheap_root_remove(r->f.heap, &slots[i]), 0);
	assert_int_equal(live(r), 0);
	free(slots);
}

/* Seconds of CPU time that it takes to remove roots, oldest or newest first. */
static double time_to_remove(struct roots_fixture *r, void **slots, int count, bool oldest)
{
	clock_t start;
	int i;

	for (i = 0; i < count; i++)
		assert_int_equal(gcheap_root_add(r->f.heap, &slots[i], 1), 0);
	start = clock();
	for (i = 0; i < count; i++)
		assert_int_equal(gcheap_root_remove(r->f.heap,
						    &slots[oldest ? i : count - 1 - i]), 0);
	return (double)(clock() - start) / CLOCKS_PER_SEC;
}

static void test_the_oldest_root_is_found_as_soon_as_the_newest(void **state)
{
	enum { COUNT = 100000 };
	struct roots_fixture *r = *state;
	void **slots = calloc(COUNT, sizeof(*slots));
	double newest = time_to_remove(r, slots, COUNT, false);
	double oldest = time_to_remove(r, slots, COUNT, true);

	/* A search through all of them would take a thousand times as long. */
	if (oldest > 20 * newest + 0.2)
		fail_msg("%g s, and newest first %g s", oldest, newest);
	free(slots);
}

/* Against a plain list: of several roots with one address the latest goes. */
static void test_roots_come_and_go_in_any_order(void **state)
{
	enum { ADDRESSES = 40, WORDS = 4, LIST = 400, STEPS = 20000 };
	struct roots_fixture *r = *state;
	static void *slots[ADDRESSES][WORDS];
	struct { int address, count; } list[LIST];
	uint64_t random = 7;
	int length = 0, step, i, j;

	for (step = 0; step < STEPS; step++) {
		int address = (int)(random_next(&random) % ADDRESSES);

		if (length < LIST && random_next(&random) % 2) {
			int count = 1 + (int)(random_next(&random) % WORDS);

			assert_int_equal(gcheap_root_add(r->f.heap, slots[address], count), 0);
			list[length].address = address;
			list[length++].count = count;
		} else {
			int error = gcheap_root_remove(r->f.heap, slots[address]);

			for (i = length; i && list[i - 1].address != address; i--)
				;
			assert_int_equal(error, i ? 0 : -ENOENT);
			for (; i && i < length; i++)
				list[i - 1] = list[i];
			length -= !error;
		}
		if (step % 1000 == 0) {
			uint64_t expected = 0;

			/* The longest root of each address tells which ones are left. */
			memset(slots, 0, sizeof(slots));
			for (i = 0; i < ADDRESSES; i++) {
				int longest = 0;

				for (j = 0; j < length; j++) {
					if (list[j].address == i && list[j].count > longest)
						longest = list[j].count;
				}
				for (j = 0; j < WORDS; j++)
					slots[i][j] = new_node(r);
				expected += longest;
			}
			assert_int_equal(live(r), expected);
		}
	}
	while (length)
		assert_int_equal(gcheap_root_remove(r->f.heap, slots[list[--length].address]), 0);
}

static void test_err_roots(void **state)
{
	struct roots_fixture *r = *state;
	struct gcheap *heap = r->f.heap;
	void *slots[2] = { NULL, NULL };
	char *inside = (char *)slots + 4;

	assert_refused(gcheap_root_add(heap, NULL, 1), EINVAL, "NULL");
	assert_refused(gcheap_root_add(heap, inside, 1), EINVAL, "not aligned");
	assert_refused(gcheap_root_add(heap, slots, 0), EINVAL, "length of 0");
	assert_refused(gcheap_root_add(heap, slots, SIZE_MAX), EINVAL, "end of the address space");
	assert_refused(gcheap_root_add_typed(heap, NULL, r->node, 1), EINVAL, "NULL");
	assert_refused(gcheap_root_add_typed(heap, inside, r->node, 1), EINVAL, "not aligned");
	assert_refused(gcheap_root_add_typed(heap, slots, r->node, 0), EINVAL, "length of 0");
	assert_refused(gcheap_root_add_typed(heap, slots, 0, 1), EINVAL, "no type");
	assert_refused(gcheap_root_add_typed(heap, slots, r->node + 1, 1), EINVAL, "no type");
	assert_refused(gcheap_root_add_typed(heap, slots, r->node, SIZE_MAX / 2), EINVAL,
		       "end of the address space");
	assert_refused(gcheap_root_add_ambiguous(heap, NULL, 8), EINVAL, "NULL");
	assert_refused(gcheap_root_add_ambiguous(heap, inside, 8), EINVAL, "not aligned");
	assert_refused(gcheap_root_add_ambiguous(heap, slots, 0), EINVAL, "length of 0");
	assert_refused(gcheap_root_add_ambiguous(heap, slots, SIZE_MAX & ~(size_t)7), EINVAL,
		       "end of the address space");
	assert_refused(gcheap_root_remove(heap, slots), ENOENT, "no root");
	assert_refused(gcheap_root_remove(heap, NULL), ENOENT, "no root");
	assert_int_equal(live(r), 0);
}

/* ---- frames ------------------------------------------------------------------ */

static void inner_frame(struct roots_fixture *r, uint64_t outer)
{
	struct gcheap_thread *thread = r->f.thread;
	struct node *a = NULL, *b = NULL, *c = NULL;

	GCHEAP_FRAME(thread, a, b, c);
	a = new_list(r, 2);
	b = new_list(r, 3);
	assert_int_equal(live(r), outer + 5);
	c = b;
	a = NULL;
	assert_int_equal(live(r), outer + 3);
	assert_ptr_equal(b, c);
	GCHEAP_FRAME_END(thread);
}

static void test_frames_hold_their_variables_until_their_end(void **state)
{
	struct roots_fixture *r = *state;
	struct gcheap_thread *thread = r->f.thread;
	struct node *list = NULL;

	{
		GCHEAP_FRAME(thread, list);
		list = new_list(r, 10);
		assert_int_equal(live(r), 10);
		inner_frame(r, 10);
		assert_int_equal(live(r), 10);
		list = list->next;
		assert_int_equal(live(r), 9);
		GCHEAP_FRAME_END(thread);
	}
	assert_int_equal(live(r), 0);
}

/* ---- stacks ------------------------------------------------------------------ */

static __attribute__((noinline)) struct node *hidden_list(struct roots_fixture *r, int length)
{
	return (struct node *)~(uintptr_t)new_list(r, length);
}

static void test_conservative_stacks_hold_what_locals_point_at(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct roots_fixture r;
	struct node *volatile local;
	struct node *hidden;

	(void)state;
	fixture_open_with(&r.f, &config);
	r.node = GCHEAP_TYPE(r.f.heap, struct node, next);
	hidden = hidden_list(&r, 1000);
	local = (struct node *)~(uintptr_t)hidden;
	stack_wipe();
	assert_int_equal(live(&r), 1000);
	local = NULL;
	stack_wipe();
	/* A stale register or stack word may keep some: not all of a list. */
	assert_null(local);
	assert_true(live(&r) <= 1000);
	fixture_close(&r.f);
}

/*
 * A pointer that is only in a register that calls preserve. The variable is read
 * after the cycle, so that it must be in a register or on the stack; either is to
 * be found.
 */
static __attribute__((noinline)) void collect_with_locals(struct roots_fixture *r)
{
	struct node *a = new_list(r, 1), *b = new_list(r, 1), *c = new_list(r, 1);
	struct node *d = new_list(r, 1), *e = new_list(r, 1), *g = new_list(r, 1);
	uint64_t alive;

	__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(g));
	alive = live(r);
	__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(g));
	assert_true(alive >= 6);
	a->scalar = b->scalar = c->scalar = d->scalar = e->scalar = g->scalar = 1;
}

static void test_conservative_stacks_hold_what_registers_point_at(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct roots_fixture r;

	(void)state;
	fixture_open_with(&r.f, &config);
	r.node = GCHEAP_TYPE(r.f.heap, struct node, next);
	collect_with_locals(&r);
	fixture_close(&r.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_is_alive_without_roots, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_precise_slots_keep_what_they_reach, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_typed_roots_follow_pointer_words_alone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_ambiguous_roots_take_interior_pointers, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_ambiguous_roots_do_not_bring_back_free_slots,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_root_added_twice_is_removed_twice, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_many_roots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_oldest_root_is_found_as_soon_as_the_newest,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_roots_come_and_go_in_any_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_err_roots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames_hold_their_variables_until_their_end,
						setup, teardown),
		cmocka_unit_test(test_conservative_stacks_hold_what_locals_point_at),
		cmocka_unit_test(test_conservative_stacks_hold_what_registers_point_at),
	};

	return run_in_all_layouts("roots", tests);
}

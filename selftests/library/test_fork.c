// SPDX-License-Identifier: MIT
/*
 * What is left of a heap in a child of fork(): nothing, and the child opens its own.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library_test.h"

#define CHILD_MUST(condition)							\
	do {									\
		if (!(condition)) {						\
			fprintf(stderr, "# in the child: %s: %s\n", #condition,	\
				gcheap_error());				\
			return 1;						\
		}								\
	} while (0)

static bool said_no(bool refused_call)
{
	return refused_call && strstr(gcheap_error(), "after fork the child must open a heap");
}

static bool new_said_no(const void *object)
{
	return said_no(!object && errno == EPERM);
}

/* Everything that a child may call with its parent's heap. */
static int child_uses_heap(struct fixture *f, gcheap_type type)
{
	struct gcheap_type_desc desc = { .name = "t", .size = 8, .align = 8 };
	struct gcheap_thread *thread;
	gcheap_type other;
	void *slot = NULL;

	CHILD_MUST(new_said_no(gcheap_new(f->thread, type)));
	CHILD_MUST(new_said_no(gcheap_new(f->thread, type + 1)));
	CHILD_MUST(new_said_no(gcheap_new_array(f->thread, type, 3)));
	CHILD_MUST(new_said_no(gcheap_new_leaf(f->thread, 64)));
	CHILD_MUST(new_said_no(gcheap_new_leaf(f->thread, 100000)));
	CHILD_MUST(said_no(gcheap_collect(f->thread) == -EPERM));
	CHILD_MUST(said_no(gcheap_type_register(f->heap, &desc, &other) == -EPERM));
	CHILD_MUST(said_no(gcheap_root_add(f->heap, &slot, 1) == -EPERM));
	CHILD_MUST(said_no(gcheap_root_remove(f->heap, &slot) == -EPERM));
	CHILD_MUST(said_no(gcheap_thread_attach(f->heap, &thread) == -EPERM));
	return 0;
}

static int child_opens_its_own(void)
{
	struct gcheap_thread *thread;
	struct gcheap *heap;

	CHILD_MUST(!gcheap_open(NULL, &heap));
	CHILD_MUST(!gcheap_thread_attach(heap, &thread));
	CHILD_MUST(gcheap_new_leaf(thread, 64));
	CHILD_MUST(!gcheap_collect(thread));
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	return 0;
}

static int child_main(struct fixture *f, gcheap_type type)
{
	if (child_uses_heap(f, type))
		return 1;
	gcheap_thread_detach(f->thread);
	gcheap_close(f->heap);
	return child_opens_its_own();
}

static void test_a_child_of_fork_is_refused_and_the_parent_goes_on(void **state)
{
	struct fixture f;
	gcheap_type type;
	uint64_t *object;
	int status, i;
	pid_t child;

	(void)state;
	fixture_open(&f);
	type = type_with_mask(f.heap, 64, 8, 1);
	/* Both caches have free slots in their windows now. */
	object = gcheap_new(f.thread, type);
	assert_non_null(object);
	assert_non_null(gcheap_new_leaf(f.thread, 64));
	object[7] = 77;
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(child_main(&f, type));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(object[7], 77);
	for (i = 0; i < 1000; i++)
		assert_non_null(gcheap_new(f.thread, type));
	assert_int_equal(gcheap_collect(f.thread), 0);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_child_of_fork_is_refused_and_the_parent_goes_on),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}

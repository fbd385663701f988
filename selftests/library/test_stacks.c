// SPDX-License-Identifier: MIT
/*
 * Stacks that a program declares and switches, that of signal handlers, and those that
 * the heap does not know: what lies on them is kept, or the cycle is refused.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "coroutine.h"

/* ---- declared stacks --------------------------------------------------------------- */

/* The main program's frames below the place of @stack, if it is on the same stack. */
static void collect_on(char *stack, size_t bytes, bool declare)
{
	if (declare)
		assert_int_equal(gcheap_stack_add(co.f.heap, stack, bytes), 0);
	coroutine_make(stack, bytes, collect_in_coroutine);
	assert_int_equal(switch_with_objects(), KEPT);
	assert_int_equal(co.result, 0);
	if (declare)
		assert_int_equal(gcheap_stack_remove(co.f.heap, stack), 0);
	stack_wipe();
	assert_int_equal(gcheap_collect(co.f.thread), 0);
	/* What nothing leads to any more is found, but for stale words. */
	assert_true(count_alive(co.hidden) < KEPT / 2);
}

static void test_the_threads_own_stack_is_read_while_it_runs_on_a_declared_one(void **state)
{
	char *stack = malloc(STACK_BYTES);

	(void)state;
	assert_non_null(stack);
	collect_on(stack, STACK_BYTES, true);
	free(stack);
}

static void test_a_declared_stack_may_be_a_local_array(void **state)
{
	char stack[STACK_BYTES];

	(void)state;
	collect_on(stack, sizeof(stack), true);
}

static void test_a_context_on_a_local_array_is_noticed_undeclared(void **state)
{
	char stack[STACK_BYTES];

	(void)state;
	collect_on(stack, sizeof(stack), false);
}

static void keep_and_switch(void)
{
	void *volatile kept[KEPT];

	fill(kept, co.hidden_other);
	switch_to_main();
	co.result = (int)count_alive(co.hidden_other);
	assert_non_null(kept[0]);
}

static void test_a_suspended_stack_keeps_what_it_leads_to(void **state)
{
	char *stack = malloc(STACK_BYTES);
	int i;

	(void)state;
	assert_non_null(stack);
	assert_int_equal(gcheap_stack_add(co.f.heap, stack, STACK_BYTES), 0);
	coroutine_make(stack, STACK_BYTES, keep_and_switch);
	switch_to_other();
	for (i = 0; i < 3; i++)
		assert_int_equal(gcheap_collect(co.f.thread), 0);
	assert_int_equal(count_alive(co.hidden_other), KEPT);
	switch_to_other();
	assert_int_equal(co.result, KEPT);
	assert_int_equal(gcheap_stack_remove(co.f.heap, stack), 0);
	stack_wipe();
	assert_int_equal(gcheap_collect(co.f.thread), 0);
	assert_true(count_alive(co.hidden_other) < KEPT / 2);
	free(stack);
}

/* The lowest words of its stack, far below its stack pointer, lead to an object. */
static void collect_above_garbage(void)
{
	memset(co.stack, 0, 4096);
	*(void **)(void *)co.stack = SHOW(co.hidden[0]);
	co.result = gcheap_collect(co.f.thread);
	co.error = is_alive(co.hidden[0]);
	if (!co.error) {
		co.hidden[1] = HIDE(gcheap_new_leaf(co.f.thread, 64));
		*(void **)(void *)co.stack = SHOW(co.hidden[1]);
	}
	switch_to_main();
}

/* One amid others, as what was allocated last may be left in a register. */
static __attribute__((noinline)) void hide_one(void)
{
	int i;

	for (i = 0; i < 40; i++) {
		uintptr_t hidden = HIDE(gcheap_new_leaf(co.f.thread, 64));

		if (i == 20)
			co.hidden[0] = hidden;
	}
}

static void test_a_running_stack_is_read_from_its_stack_pointer_alone(void **state)
{
	char *stack = aligned_alloc(4096, STACK_BYTES);

	(void)state;
	assert_non_null(stack);
	assert_int_equal(gcheap_stack_add(co.f.heap, stack, STACK_BYTES), 0);
	hide_one();
	stack_wipe();
	coroutine_make(stack, STACK_BYTES, collect_above_garbage);
	switch_to_other();
	assert_int_equal(co.result, 0);
	assert_false(co.error);
	/* Suspended, it is read whole. */
	assert_int_equal(gcheap_collect(co.f.thread), 0);
	assert_true(is_alive(co.hidden[1]));
	assert_int_equal(gcheap_stack_remove(co.f.heap, stack), 0);
	free(stack);
}

static void *run_on_thread(void *arg)
{
	char *stack = malloc(STACK_BYTES);

	(void)arg;
	assert_non_null(stack);
	assert_int_equal(gcheap_thread_attach(co.f.heap, &co.f.thread), 0);
	collect_on(stack, STACK_BYTES, true);
	gcheap_thread_detach(co.f.thread);
	free(stack);
	return NULL;
}

static void test_a_thread_that_was_created_has_a_stack_of_its_own_too(void **state)
{
	pthread_t thread;

	(void)state;
	gcheap_thread_detach(co.f.thread);
	assert_int_equal(pthread_create(&thread, NULL, run_on_thread, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(gcheap_thread_attach(co.f.heap, &co.f.thread), 0);
}

static void test_a_thread_may_have_a_guard_page_inside_of_its_stack(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 1 << 20;
	char *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	pthread_attr_t attr;
	pthread_t thread;

	(void)state;
	assert_true(stack != MAP_FAILED);
	assert_int_equal(mprotect(stack, 2 * page, PROT_NONE), 0);
	gcheap_thread_detach(co.f.thread);
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstack(&attr, stack, bytes), 0);
	assert_int_equal(pthread_create(&thread, &attr, run_on_thread, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attr);
	assert_int_equal(gcheap_thread_attach(co.f.heap, &co.f.thread), 0);
	munmap(stack, bytes);
}

static void attach_in_coroutine(void)
{
	co.result = gcheap_thread_attach(co.f.heap, &co.f.thread);
}

static void test_a_thread_may_attach_on_a_declared_stack(void **state)
{
	char *stack = malloc(STACK_BYTES);
	void *volatile kept[KEPT];

	(void)state;
	assert_non_null(stack);
	gcheap_thread_detach(co.f.thread);
	assert_int_equal(gcheap_stack_add(co.f.heap, stack, STACK_BYTES), 0);
	coroutine_make(stack, STACK_BYTES, attach_in_coroutine);
	switch_to_other();
	assert_int_equal(co.result, 0);
	fill(kept, co.hidden);
	assert_int_equal(gcheap_collect(co.f.thread), 0);
	assert_int_equal(count_alive(co.hidden), KEPT);
	assert_non_null(kept[0]);
	assert_int_equal(gcheap_stack_remove(co.f.heap, stack), 0);
	free(stack);
}

/* ---- guard pages ---------------------------------------------------------------------- */

static void test_pages_of_a_suspended_stack_that_cannot_be_read_are_skipped(void **state)
{
	enum { PAGES = 300 };
	static const size_t guards[] = { 1, 100, 101, 128, 299 };
	static const size_t kept[] = { 0, 2, 99, 102, 127, 129, 298, 300 };
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (PAGES + 1) * page;
	char *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	size_t i;

	(void)state;
	assert_true(stack != MAP_FAILED);
	assert_int_equal(gcheap_stack_add(co.f.heap, stack + 8, bytes - 16), 0);
	for (i = 0; i < ARRAY_SIZE(guards); i++)
		assert_int_equal(mprotect(stack + guards[i] * page, page, PROT_NONE), 0);
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		char *leaf = gcheap_new_leaf(co.f.thread, 64);

		assert_non_null(leaf);
		co.hidden[i] = HIDE(leaf);
		/* The last word of the page before a guard, or the first behind it. */
		*(char **)(void *)(stack + kept[i] * page + (i % 2 ? 0 : page - 16)) = leaf + 8;
	}
	stack_wipe();
	assert_int_equal(gcheap_collect(co.f.thread), 0);
	for (i = 0; i < ARRAY_SIZE(kept); i++)
		assert_true(is_alive(co.hidden[i]));
	assert_int_equal(gcheap_stack_remove(co.f.heap, stack + 8), 0);
	munmap(stack, bytes);
}

static void attach_and_collect_in_coroutine(void)
{
	assert_int_equal(gcheap_thread_attach(co.f.heap, &co.f.thread), 0);
	co.result = gcheap_collect(co.f.thread);
}

static void *attach_on_fiber(void *arg)
{
	coroutine_make(arg, STACK_BYTES, attach_and_collect_in_coroutine);
	switch_to_other();
	return NULL;
}

static void test_a_guarded_stack_may_be_found_from_a_stack_below_it(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 1 << 20;
	char *area = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	pthread_attr_t attr;
	pthread_t thread;

	(void)state;
	assert_true(area != MAP_FAILED);
	assert_int_equal(mprotect(area + bytes, page, PROT_NONE), 0);
	gcheap_thread_detach(co.f.thread);
	assert_int_equal(gcheap_stack_add(co.f.heap, area, STACK_BYTES), 0);
	co.result = 1;
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstack(&attr, area + bytes, bytes), 0);
	assert_int_equal(pthread_create(&thread, &attr, attach_on_fiber, area), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attr);
	assert_int_equal(co.result, 0);
	/* That thread's end has detached it. */
	assert_int_equal(gcheap_thread_attach(co.f.heap, &co.f.thread), 0);
	assert_int_equal(gcheap_stack_remove(co.f.heap, area), 0);
	munmap(area, 2 * bytes);
}

/* ---- many ---------------------------------------------------------------------------- */

static void test_many_stacks_are_each_found_and_forgotten(void **state)
{
	enum { COUNT = 2000, BYTES = 256 };
	char *memory = calloc(COUNT, BYTES);
	uint64_t random = 1;
	size_t order[COUNT];
	size_t i;

	(void)state;
	assert_non_null(memory);
	for (i = 0; i < COUNT; i++) {
		size_t other = random_next(&random) % (i + 1);

		order[i] = order[other];
		order[other] = i;
	}
	for (i = 0; i < COUNT; i++)
		assert_int_equal(gcheap_stack_add(co.f.heap, memory + order[i] * BYTES, BYTES), 0);
	/* Not their first bytes, which would be the ends of others. */
	for (i = 0; i < COUNT; i++)
		*(char **)(void *)(memory + i * BYTES + BYTES - 8) =
			(char *)gcheap_new_leaf(co.f.thread, 64) + 8;
	stack_wipe();
	assert_true(live_after_collect(&co.f) >= COUNT);
	for (i = 0; i < COUNT / 2; i++)
		assert_int_equal(gcheap_stack_remove(co.f.heap, memory + order[i] * BYTES), 0);
	stack_wipe();
	assert_in_range(live_after_collect(&co.f), COUNT / 2, COUNT / 2 + 50);
	for (; i < COUNT; i++)
		assert_int_equal(gcheap_stack_remove(co.f.heap, memory + order[i] * BYTES), 0);
	stack_wipe();
	assert_in_range(live_after_collect(&co.f), 0, 50);
	free(memory);
}

/* ---- registers of a context ------------------------------------------------------------ */

#if defined(__x86_64__)
/* Switches with an object's address in rbx alone; whether the object is there afterwards. */
static __attribute__((noinline)) bool switch_with_a_register(uintptr_t hidden)
{
	ucontext_t *from = &co.main, *to = &co.other;
	uintptr_t object = hidden;

	/* Below this function's red zone. */
	__asm__ volatile("notq %%rbx\n\t"
			 "movq %%rsp, %%r12\n\t"
			 "subq $128, %%rsp\n\t"
			 "andq $-16, %%rsp\n\t"
			 "call swapcontext@PLT\n\t"
			 "movq %%r12, %%rsp\n\t"
			 "notq %%rbx"
			 : "+b"(object), "+D"(from), "+S"(to) :
			 : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "memory", "cc",
			   "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
			   "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
	return object == hidden && is_alive(hidden);
}

static void test_a_suspended_context_that_is_a_root_keeps_what_its_registers_lead_to(void **state)
{
	char *stack = malloc(STACK_BYTES);
	uintptr_t hidden;
	int round;

	(void)state;
	assert_non_null(stack);
	assert_int_equal(gcheap_stack_add(co.f.heap, stack, STACK_BYTES), 0);
	for (round = 0; round < 2; round++) {
		if (round)
			assert_int_equal(gcheap_root_add_ambiguous(co.f.heap, &co.main,
								   sizeof(co.main)), 0);
		hide_one();
		hidden = co.hidden[0];
		stack_wipe();
		coroutine_make(stack, STACK_BYTES, collect_in_coroutine);
		/* Nothing else has it. AddressSanitizer's swapcontext() has it on the stack. */
		assert_int_equal(switch_with_a_register(hidden), round || UNDER_ASAN);
		assert_int_equal(co.result, 0);
	}
	assert_int_equal(gcheap_root_remove(co.f.heap, &co.main), 0);
	assert_int_equal(gcheap_stack_remove(co.f.heap, stack), 0);
	free(stack);
}
#endif

/* ---- signals ------------------------------------------------------------------------- */

static void on_signal(int number)
{
	(void)number;
	co.result = gcheap_collect(co.f.thread);
}

static __attribute__((noinline)) size_t raise_with_objects(void)
{
	void *volatile kept[KEPT];
	size_t alive;

	fill(kept, co.hidden);
	assert_int_equal(raise(SIGUSR1), 0);
	alive = count_alive(co.hidden);
	assert_non_null(kept[0]);
	return alive;
}

static void collect_on_signal_stack(char *memory, size_t bytes)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK }, old;
	stack_t stack = { .ss_sp = memory, .ss_size = bytes }, before;

	assert_int_equal(sigaltstack(&stack, &before), 0);
	assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
	assert_int_equal(raise_with_objects(), KEPT);
	assert_int_equal(co.result, 0);
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
	assert_int_equal(sigaltstack(&before, NULL), 0);
}

static void test_a_signal_handlers_stack_needs_no_declaration(void **state)
{
	char *memory = malloc(STACK_BYTES);
	char local[STACK_BYTES];

	(void)state;
	assert_non_null(memory);
	collect_on_signal_stack(memory, STACK_BYTES);
	collect_on_signal_stack(local, sizeof(local));
	free(memory);
}

static void raise_in_coroutine(void)
{
	char local[STACK_BYTES / 2];

	collect_on_signal_stack(local, sizeof(local));
}

static void test_a_signal_handlers_stack_may_be_inside_of_a_declared_one(void **state)
{
	char *stack = malloc(STACK_BYTES * 2);

	(void)state;
	assert_non_null(stack);
	assert_int_equal(gcheap_stack_add(co.f.heap, stack, STACK_BYTES * 2), 0);
	co.result = 1;
	coroutine_make(stack, STACK_BYTES * 2, raise_in_coroutine);
	switch_to_other();
	assert_int_equal(co.result, 0);
	assert_int_equal(gcheap_stack_remove(co.f.heap, stack), 0);
	free(stack);
}

/* ---- a context inside of a declared stack --------------------------------------------- */

static struct {
	ucontext_t outer, inner;
	size_t alive;
} nested;

static __attribute__((noinline)) size_t nest_with_objects(void)
{
	void *volatile kept[KEPT];
	size_t alive;

	fill(kept, co.hidden_other);
	assert_int_equal(swapcontext(&nested.outer, &nested.inner), 0);
	alive = count_alive(co.hidden_other);
	assert_non_null(kept[0]);
	return alive;
}

static void nest_in_coroutine(void)
{
	char local[STACK_BYTES / 2];

	assert_int_equal(getcontext(&nested.inner), 0);
	nested.inner.uc_stack.ss_sp = local;
	nested.inner.uc_stack.ss_size = sizeof(local);
	nested.inner.uc_link = &nested.outer;
	makecontext(&nested.inner, collect_in_coroutine, 0);
	nested.alive = nest_with_objects();
}

static void test_a_context_on_a_local_array_of_a_declared_stack_is_noticed(void **state)
{
	char *stack = malloc(STACK_BYTES * 2);

	(void)state;
	assert_non_null(stack);
	assert_int_equal(gcheap_stack_add(co.f.heap, stack, STACK_BYTES * 2), 0);
	co.result = 1;
	coroutine_make(stack, STACK_BYTES * 2, nest_in_coroutine);
	switch_to_other();
	assert_int_equal(co.result, 0);
	assert_int_equal(nested.alive, KEPT);
	assert_int_equal(gcheap_stack_remove(co.f.heap, stack), 0);
	free(stack);
}

/* ---- unknown stacks ------------------------------------------------------------------ */

static void allocate_until_refused(void)
{
	co.result = gcheap_collect(co.f.thread);
	assert_error_says("gcheap_stack_add()");
	assert_error_says("another stack");
	for (co.allocated = 0; co.allocated < 1000000; co.allocated++) {
		errno = 0;
		if (!gcheap_new_leaf(co.f.thread, 64))
			break;
	}
	co.error = errno;
	assert_error_says("gcheap_stack_add()");
	assert_refused_null(gcheap_new_leaf(co.f.thread, 8 << 20), EINVAL, "gcheap_stack_add()");
}

static void test_err_an_unknown_stack_ends_with_the_first_cycle_that_is_due(void **state)
{
	char *stack = malloc(STACK_BYTES);

	(void)state;
	assert_non_null(stack);
	coroutine_make(stack, STACK_BYTES, allocate_until_refused);
	assert_int_equal(switch_with_objects(), KEPT);
	assert_int_equal(co.result, -EINVAL);
	assert_int_equal(co.error, EINVAL);
	/* A cycle is due after 4 MiB at the latest. */
	assert_in_range(co.allocated, 1, (8 << 20) / 64);
	assert_int_equal(stats_of(co.f.heap).cycles, 0);
	/* The thread's own stack is as good as before. */
	assert_non_null(gcheap_new_leaf(co.f.thread, 8 << 20));
	assert_int_equal(gcheap_collect(co.f.thread), 0);
	free(stack);
}

static void remove_own_stack(void)
{
	co.result = gcheap_stack_remove(co.f.heap, co.stack);
	assert_error_says("switch to another");
}

static void test_err_stacks(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct gcheap *heap = co.f.heap;
	char *stack = malloc(STACK_BYTES);
	char *guarded = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);

	(void)state;
	assert_non_null(stack);
	assert_true(guarded != MAP_FAILED);
	assert_refused(gcheap_stack_add(NULL, stack, 8), EINVAL, "NULL");
	assert_refused(gcheap_stack_remove(NULL, stack), EINVAL, "NULL");
	assert_refused(gcheap_stack_add(heap, NULL, 8), EINVAL, "NULL");
	assert_refused(gcheap_stack_add(heap, stack, 0), EINVAL, "length of 0");
	assert_refused(gcheap_stack_add(heap, stack, SIZE_MAX), EINVAL, "end of the address space");
	assert_refused(gcheap_stack_remove(heap, stack), ENOENT, "no stack");

	assert_int_equal(gcheap_stack_add(heap, stack + 4096, 8192), 0);
	assert_refused(gcheap_stack_add(heap, stack + 4096, 4096), EEXIST, "already");
	assert_refused(gcheap_stack_add(heap, stack, 4097), EINVAL, "overlaps");
	assert_refused(gcheap_stack_add(heap, stack + 8192, 8192), EINVAL, "overlaps");
	assert_refused(gcheap_stack_remove(heap, stack + 4097), ENOENT, "no stack");
	/* Beside, inside of and around it. */
	assert_int_equal(gcheap_stack_add(heap, stack, 4096), 0);
	assert_int_equal(gcheap_stack_remove(heap, stack), 0);
	assert_int_equal(gcheap_stack_add(heap, stack + 8192, 4096), 0);
	assert_int_equal(gcheap_stack_add(heap, stack, STACK_BYTES), 0);
	assert_refused(gcheap_stack_add(heap, stack + 10240, 4096), EINVAL, "overlaps");
	assert_int_equal(gcheap_collect(co.f.thread), 0);
	assert_int_equal(gcheap_stack_remove(heap, stack + 4096), 0);
	assert_int_equal(gcheap_stack_remove(heap, stack + 8192), 0);

	coroutine_make(stack, STACK_BYTES, remove_own_stack);
	switch_to_other();
	assert_int_equal(co.result, -EBUSY);
	assert_int_equal(gcheap_stack_remove(heap, stack), 0);

	assert_int_equal(mprotect(guarded, page, PROT_NONE), 0);
	assert_refused(gcheap_stack_add(heap, guarded, 2 * page), EFAULT, "guard page");
	assert_int_equal(gcheap_stack_add(heap, guarded + page, page), 0);
	assert_int_equal(gcheap_stack_remove(heap, guarded + page), 0);
	munmap(guarded, 2 * page);
	free(stack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(test) cmocka_unit_test_setup_teardown(test, coroutine_setup, coroutine_teardown)
		TEST(test_the_threads_own_stack_is_read_while_it_runs_on_a_declared_one),
		TEST(test_a_declared_stack_may_be_a_local_array),
		TEST(test_a_context_on_a_local_array_is_noticed_undeclared),
		TEST(test_a_suspended_stack_keeps_what_it_leads_to),
		TEST(test_a_running_stack_is_read_from_its_stack_pointer_alone),
		TEST(test_a_thread_that_was_created_has_a_stack_of_its_own_too),
		TEST(test_a_thread_may_have_a_guard_page_inside_of_its_stack),
		TEST(test_a_thread_may_attach_on_a_declared_stack),
		TEST(test_pages_of_a_suspended_stack_that_cannot_be_read_are_skipped),
		TEST(test_a_guarded_stack_may_be_found_from_a_stack_below_it),
#if defined(__x86_64__)
		TEST(test_a_suspended_context_that_is_a_root_keeps_what_its_registers_lead_to),
#endif
		TEST(test_many_stacks_are_each_found_and_forgotten),
		TEST(test_a_signal_handlers_stack_needs_no_declaration),
		TEST(test_a_signal_handlers_stack_may_be_inside_of_a_declared_one),
		TEST(test_a_context_on_a_local_array_of_a_declared_stack_is_noticed),
		TEST(test_err_an_unknown_stack_ends_with_the_first_cycle_that_is_due),
		TEST(test_err_stacks),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("stacks", tests, NULL, NULL);
}

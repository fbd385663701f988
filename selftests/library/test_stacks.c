// SPDX-License-Identifier: MIT
/*
 * Stacks that a program declares and switches, that of signal handlers, and those that
 * the heap does not know: what lies on them is kept, or the cycle is refused.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "library_test.h"

#define STACK_BYTES	(128u << 10)
#define KEPT		16

/* Addresses that no scan takes for pointers. */
#define HIDE(p)		(~(uintptr_t)(p))
#define SHOW(hidden)	((void *)~(hidden))

/* A coroutine, and the main program that it switches to and fro with. */
static struct {
	struct fixture f;
	ucontext_t main, other;
	void (*body)(void);
	uintptr_t hidden[KEPT];		/* what the main program's stack leads to */
	uintptr_t hidden_other[KEPT];	/* what the coroutine's leads to */
	int result, error;
	char *stack;
	size_t allocated;
} co;

static void switch_to_main(void)
{
	assert_int_equal(swapcontext(&co.other, &co.main), 0);
}

static void switch_to_other(void)
{
	assert_int_equal(swapcontext(&co.main, &co.other), 0);
}

static void coroutine(void)
{
	co.body();
}

static void coroutine_make(char *stack, size_t bytes, void (*body)(void))
{
	co.body = body;
	co.stack = stack;
	assert_int_equal(getcontext(&co.other), 0);
	co.other.uc_stack.ss_sp = stack;
	co.other.uc_stack.ss_size = bytes;
	co.other.uc_link = &co.main;
	makecontext(&co.other, coroutine, 0);
}

static int setup(void **state)
{
	struct gcheap_config config = fixture_config();

	(void)state;
	memset(&co, 0, sizeof(co));
	config.flags = GCHEAP_CONSERVATIVE_STACKS;
	fixture_open_with(&co.f, &config);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&co.f);
	return 0;
}

static bool is_alive(uintptr_t hidden)
{
	struct gcheap_object found;

	return !gcheap_find(co.f.heap, SHOW(hidden), &found);
}

static size_t count_alive(const uintptr_t *hidden)
{
	size_t alive = 0;
	size_t i;

	for (i = 0; i < KEPT; i++)
		alive += is_alive(hidden[i]);
	return alive;
}

static __attribute__((noinline)) void fill(void *volatile *kept, uintptr_t *hidden)
{
	size_t i;

	for (i = 0; i < KEPT; i++) {
		kept[i] = gcheap_new_leaf(co.f.thread, 64);
		assert_non_null(kept[i]);
		hidden[i] = HIDE(kept[i]);
	}
}

/* Overwrites what earlier calls left on the stack below. */
static __attribute__((noinline)) void stack_wipe(void)
{
	volatile char room[16384];
	size_t i;

	for (i = 0; i < sizeof(room); i++)
		room[i] = 0;
}

/* Switches to the coroutine from a frame that alone leads to some objects. */
static __attribute__((noinline)) size_t switch_with_objects(void)
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

/* ---- declared stacks --------------------------------------------------------------- */

static void collect_in_coroutine(void)
{
	stack_wipe();
	co.result = gcheap_collect(co.f.thread);
}

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
	gcheap_thread_detach(co.f.thread);
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

/* ---- the main thread's stack --------------------------------------------------------- */

static __attribute__((noinline)) int at_depth(int depth, int (*function)(void))
{
	volatile char room[4096];
	int result;

	room[0] = (char)depth;
	room[sizeof(room) - 1] = room[0];
	result = depth ? at_depth(depth - 1, function) : function();
	return result + room[0] - room[sizeof(room) - 1];
}

static int nothing(void)
{
	return 0;
}

/*
 * A heap of this process is opened, and keeps what a local variable leads to. What
 * @between does, which returns 0, has happened when the thread is attached.
 */
static int use_a_heap_after(int (*between)(void))
{
	struct gcheap_config config = fixture_config();
	void *volatile kept[KEPT];
	int error;

	config.flags = GCHEAP_CONSERVATIVE_STACKS;
	if (gcheap_open(&config, &co.f.heap)) {
		print_message("# %s\n", gcheap_error());
		return 1;
	}
	error = between();
	if (error)
		return error;
	if (gcheap_thread_attach(co.f.heap, &co.f.thread)) {
		print_message("# %s\n", gcheap_error());
		return 1;
	}
	fill(kept, co.hidden);
	if (gcheap_collect(co.f.thread) || count_alive(co.hidden) != KEPT || !kept[0])
		return 2;
	gcheap_close(co.f.heap);
	return 0;
}

static int use_a_heap(void)
{
	return use_a_heap_after(nothing);
}

static int use_a_heap_with_less_stack(void)
{
	struct rlimit limit;

	/* What is called from here on finds its stack there. */
	at_depth(32, nothing);
	if (getrlimit(RLIMIT_STACK, &limit))
		return 3;
	limit.rlim_cur = 256 << 10;
	if (setrlimit(RLIMIT_STACK, &limit))
		return 4;
	return use_a_heap();
}

/* Returns how the child ended. */
static int status_of_child(int depth, int (*function)(void))
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(at_depth(depth, function));
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void in_a_child(int depth, int (*function)(void))
{
	assert_int_equal(status_of_child(depth, function), 0);
}

static void test_the_stacks_limit_may_be_below_what_is_in_use(void **state)
{
	(void)state;
	in_a_child(300, use_a_heap_with_less_stack);
}

static int collect_deeper_after_the_limit_was_raised(void)
{
	struct rlimit limit;
	int error = 0;

	if (getrlimit(RLIMIT_STACK, &limit))
		return 3;
	limit.rlim_cur = 4 << 20;
	if (setrlimit(RLIMIT_STACK, &limit) || use_a_heap())
		error = 4;
	limit.rlim_cur = limit.rlim_max;
	if (error || setrlimit(RLIMIT_STACK, &limit))
		return 5;
	return at_depth(2000, use_a_heap);
}

static void test_the_stacks_limit_may_be_raised(void **state)
{
	(void)state;
	in_a_child(0, collect_deeper_after_the_limit_was_raised);
}

static int collect_beside_a_guard(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	struct gcheap_config config = fixture_config();
	char *stack = malloc(STACK_BYTES);
	uintptr_t guard;

	at_depth(64, nothing);
	guard = ((uintptr_t)__builtin_frame_address(0) - (128 << 10)) & ~(page - 1);
	if (!stack || mprotect((void *)guard, page, PROT_NONE))
		return 3;
	config.flags = GCHEAP_CONSERVATIVE_STACKS;
	if (gcheap_open(&config, &co.f.heap) ||
	    gcheap_thread_attach(co.f.heap, &co.f.thread) ||
	    gcheap_stack_add(co.f.heap, stack, STACK_BYTES))
		return 4;
	coroutine_make(stack, STACK_BYTES, collect_in_coroutine);
	if (switch_with_objects() != KEPT || co.result)
		return 5;
	gcheap_close(co.f.heap);
	free(stack);
	return 0;
}

static void test_the_main_stack_may_have_a_guard_page(void **state)
{
	(void)state;
	in_a_child(0, collect_beside_a_guard);
}

/* A child of a thread: its only thread is not on the main thread's stack. */
static void *fork_in_thread(void *arg)
{
	(void)arg;
	in_a_child(0, use_a_heap);
	return NULL;
}

static void test_a_child_of_a_thread_finds_its_stack(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, fork_in_thread, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- what attaching needs ---------------------------------------------------------------- */

static int take_descriptors(void)
{
	struct rlimit limit = { 3, 3 };

	return setrlimit(RLIMIT_NOFILE, &limit) || dup(0) >= 0 ? 3 : 0;
}

static int use_a_heap_without_descriptors(void)
{
	return use_a_heap_after(take_descriptors);
}

static void test_a_thread_attaches_without_a_descriptor(void **state)
{
	(void)state;
	in_a_child(0, use_a_heap_without_descriptors);
}

#define NOT_ALLOWED	77

static int hide_proc(void)
{
	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return NOT_ALLOWED;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/proc", "tmpfs", 0, NULL))
		return NOT_ALLOWED;
	return access("/proc/self/maps", F_OK) ? 0 : 3;
}

static int use_a_heap_without_proc(void)
{
	return use_a_heap_after(hide_proc);
}

static void test_a_thread_attaches_without_proc(void **state)
{
	int status;

	(void)state;
	status = status_of_child(0, use_a_heap_without_proc);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_ALLOWED)
		skip_because("this process may not mount anything over /proc");
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
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
		cmocka_unit_test(test_the_stacks_limit_may_be_below_what_is_in_use),
		cmocka_unit_test(test_the_stacks_limit_may_be_raised),
		cmocka_unit_test(test_the_main_stack_may_have_a_guard_page),
		cmocka_unit_test(test_a_child_of_a_thread_finds_its_stack),
		cmocka_unit_test(test_a_thread_attaches_without_a_descriptor),
		cmocka_unit_test(test_a_thread_attaches_without_proc),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("stacks", tests, NULL, NULL);
}

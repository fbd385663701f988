// SPDX-License-Identifier: MIT
/*
 * Threads that are stopped where an object's address is in no variable: below the stack pointer,
 * or nowhere yet.
 */
#define _GNU_SOURCE
#include "library_test.h"

#include <pthread.h>
#include <unistd.h>

#define KEY	0x5ca1ab1e0ddba11ull
#define LEAF	64u
#define TAKEN	50000u

/**
 * struct side - a thread that waits in such a place
 * @heap: of both threads
 * @type: of nodes of trees
 * @run: what it does
 * @self: it
 * @waits: it is there, soon
 * @shall_end: it goes on
 * @skips: why the test makes no sense here
 * @error: what went wrong
 */
struct side {
	struct gcheap *heap;
	gcheap_type type;
	void (*run)(struct side *side, struct gcheap_thread *thread);
	pthread_t self;
	bool waits;
	bool shall_end;
	const char *skips;
	const char *error;
};

static void *side_main(void *arg)
{
	struct side *side = arg;
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(side->heap, &thread))
		side->error = "cannot attach";
	else
		side->run(side, thread);
	__atomic_store_n(&side->waits, true, __ATOMIC_RELEASE);
	gcheap_thread_detach(thread);
	return NULL;
}

/* Runs cycles while the other thread waits, and takes all memory that they free. */
static void cycles_beside(void (*run)(struct side *side, struct gcheap_thread *thread))
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct side side = { .run = run };
	struct fixture f;
	unsigned int i;

	config.gc_percent = -1;
	fixture_open_with(&f, &config);
	side.heap = f.heap;
	assert_int_equal(pthread_create(&side.self, NULL, side_main, &side), 0);
	while (!__atomic_load_n(&side.waits, __ATOMIC_ACQUIRE))
		usleep(100);
	for (i = 0; i < 5; i++)
		assert_int_equal(gcheap_collect(f.thread), 0);
	for (i = 0; i < TAKEN; i++) {
		void *leaf = gcheap_new_leaf(f.thread, LEAF);

		assert_non_null(leaf);
		memset(leaf, 0xff, LEAF);
	}
	__atomic_store_n(&side.shall_end, true, __ATOMIC_RELEASE);
	gcheap_park(f.thread);
	pthread_join(side.self, NULL);
	gcheap_unpark(f.thread);
	fixture_close(&f);
	if (side.error)
		fail_msg("%s", side.error);
	if (side.skips)
		skip_because(side.skips);
}

#if defined(__x86_64__)

/* A leaf whose address is nowhere, but for its complement; 0: there is no memory. */
static __attribute__((noinline)) uintptr_t hidden_leaf(struct side *side,
						       struct gcheap_thread *thread)
{
	uint64_t *leaf = gcheap_new_leaf(thread, LEAF);
	int i;

	if (!leaf) {
		side->error = "cannot allocate";
		return 0;
	}
	*leaf = KEY;
	/* The last one is held, because it might still be on its way. */
	for (i = 0; i < 3; i++)
		gcheap_new_leaf(thread, LEAF);
	return ~(uintptr_t)leaf;
}

static void leaf_check(struct side *side, uintptr_t leaf)
{
	if (*(uint64_t *)leaf != KEY)
		side->error = "its object was freed";
}

/* The object's address is below the stack pointer, where a function that calls none may have it. */
static __attribute__((noinline)) void wait_in_red_zone(struct side *side,
						       struct gcheap_thread *thread)
{
	uintptr_t hidden = hidden_leaf(side, thread);

	if (!hidden)
		return;
	stack_wipe();
	__atomic_store_n(&side->waits, true, __ATOMIC_RELEASE);
	__asm__ volatile("notq %[word]\n\t"
			 "movq %[word], -64(%%rsp)\n\t"
			 "xorl %k[word], %k[word]\n"
			 "1:\tpause\n\t"
			 "cmpb $0, (%[end])\n\t"
			 "je 1b\n\t"
			 "movq -64(%%rsp), %[word]\n\t"
			 "movq $0, -64(%%rsp)"
			 : [word] "+&r"(hidden) : [end] "r"(&side->shall_end) : "memory", "cc");
	leaf_check(side, hidden);
}

static void the_red_zone_of_stopped_threads_is_scanned(void **state)
{
	(void)state;
	cycles_beside(wait_in_red_zone);
}

/* In a vector register: pairs of pointers are moved by them. */
static __attribute__((noinline)) void wait_with_vector(struct side *side,
						       struct gcheap_thread *thread)
{
	uintptr_t hidden = hidden_leaf(side, thread);

	if (!hidden)
		return;
	stack_wipe();
	__atomic_store_n(&side->waits, true, __ATOMIC_RELEASE);
	__asm__ volatile("notq %[word]\n\t"
			 "movq %[word], %%xmm9\n\t"
			 "xorl %k[word], %k[word]\n"
			 "1:\tpause\n\t"
			 "cmpb $0, (%[end])\n\t"
			 "je 1b\n\t"
			 "movq %%xmm9, %[word]\n\t"
			 "pxor %%xmm9, %%xmm9"
			 : [word] "+&r"(hidden) : [end] "r"(&side->shall_end)
			 : "memory", "cc", "xmm9");
	leaf_check(side, hidden);
}

static void vector_registers_of_stopped_threads_are_scanned(void **state)
{
	(void)state;
	cycles_beside(wait_with_vector);
}

/* In the half of one that is saved elsewhere. */
static __attribute__((noinline, target("avx"))) void wait_with_high_half(struct side *side,
									 struct gcheap_thread *thread)
{
	uintptr_t hidden = hidden_leaf(side, thread);

	if (!hidden)
		return;
	stack_wipe();
	__atomic_store_n(&side->waits, true, __ATOMIC_RELEASE);
	__asm__ volatile("notq %[word]\n\t"
			 "vmovq %[word], %%xmm9\n\t"
			 "vinsertf128 $1, %%xmm9, %%ymm9, %%ymm9\n\t"
			 "vxorpd %%xmm8, %%xmm8, %%xmm8\n\t"
			 "vblendpd $12, %%ymm9, %%ymm8, %%ymm9\n\t"
			 "xorl %k[word], %k[word]\n"
			 "1:\tpause\n\t"
			 "cmpb $0, (%[end])\n\t"
			 "je 1b\n\t"
			 "vextractf128 $1, %%ymm9, %%xmm9\n\t"
			 "vmovq %%xmm9, %[word]\n\t"
			 "vzeroall"
			 : [word] "+&r"(hidden) : [end] "r"(&side->shall_end)
			 : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
			   "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
			   "xmm15");
	leaf_check(side, hidden);
}

static void high_halves_of_vector_registers_are_scanned(void **state)
{
	(void)state;
	if (!__builtin_cpu_supports("avx"))
		skip_because("this CPU has no AVX");
	cycles_beside(wait_with_high_half);
}

#endif

/*
 * gcheap_new_leaf() as another compiler may order it: the slot is taken already, and its address
 * is not yet computed.
 */
static __attribute__((noinline)) void wait_with_slot(struct side *side,
						     struct gcheap_thread *thread)
{
	struct gcheap_cache_ *cache;
	unsigned int index, i;
	volatile uint64_t *leaf;

	/* In the middle of a window, so that no address of a neighbour tells. */
	for (i = 0; i < 9; i++)
		gcheap_new_leaf(thread, LEAF);
	stack_wipe();
	cache = thread->leaves[gcheap_leaf_entry_(LEAF)];
	if (!cache->free) {
		side->skips = "with guards no allocation is inlined";
		return;
	}
	index = (unsigned int)__builtin_ctzll(cache->free);
	cache->free &= cache->free - 1;
	__atomic_store_n(&side->waits, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&side->shall_end, __ATOMIC_ACQUIRE))
		;
	leaf = (volatile uint64_t *)(cache->window + (uint64_t)index * cache->slot_bytes);
	if (*leaf)
		side->error = "its slot is another's, too";
}

static void a_slot_that_was_just_taken_is_held(void **state)
{
	(void)state;
	cycles_beside(wait_with_slot);
}

/* ---- free slots that are held ------------------------------------------------------ */

#define DEPTH	10u
#define CYCLES	200u

static void **tree(struct side *side, struct gcheap_thread *thread, unsigned int depth)
{
	void **node = gcheap_new(thread, side->type);

	if (!node) {
		side->error = "no memory";
		return NULL;
	}
	if (depth) {
		node[0] = tree(side, thread, depth - 1);
		node[1] = tree(side, thread, depth - 1);
	}
	return node;
}

/* Its next free slots have what dead objects have left in them: pointers to free slots. */
static void make_trees(struct side *side, struct gcheap_thread *thread)
{
	__atomic_store_n(&side->waits, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&side->shall_end, __ATOMIC_ACQUIRE))
		tree(side, thread, DEPTH);
}

static void held_beside(uint32_t flags)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct side side = { .run = make_trees };
	struct fixture f;
	unsigned int i;

	config.gc_percent = -1;
	config.flags |= flags;
	fixture_open_with(&f, &config);
	side.heap = f.heap;
	side.type = type_with_mask(f.heap, 16, 8, 3);
	assert_int_equal(pthread_create(&side.self, NULL, side_main, &side), 0);
	while (!__atomic_load_n(&side.waits, __ATOMIC_ACQUIRE))
		usleep(100);
	/* Where objects are checked, each cycle verifies. */
	for (i = 0; i < CYCLES; i++) {
		assert_int_equal(gcheap_collect(f.thread), 0);
		assert_int_equal(gcheap_verify(f.heap), 0);
		usleep(200);
	}
	__atomic_store_n(&side.shall_end, true, __ATOMIC_RELEASE);
	gcheap_park(f.thread);
	pthread_join(side.self, NULL);
	gcheap_unpark(f.thread);
	if (side.error)
		fail_msg("%s", side.error);
	assert_int_equal(gcheap_verify(f.heap), 0);
	fixture_close(&f);
}

static void a_free_slot_that_is_held_leads_nowhere(void **state)
{
	(void)state;
	held_beside(0);
	held_beside(GCHEAP_VERIFY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#if defined(__x86_64__)
		cmocka_unit_test(the_red_zone_of_stopped_threads_is_scanned),
		cmocka_unit_test(vector_registers_of_stopped_threads_are_scanned),
		cmocka_unit_test(high_halves_of_vector_registers_are_scanned),
#endif
		cmocka_unit_test(a_slot_that_was_just_taken_is_held),
		cmocka_unit_test(a_free_slot_that_is_held_leads_nowhere),
	};

	return run_in_all_layouts("stop_places", tests);
}

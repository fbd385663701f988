// SPDX-License-Identifier: MIT
/*
 * User arenas: what is allocated in them, what they keep and what keeps them, and that their memory
 * faults once it is freed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "library_test.h"

#define CHUNK_BYTES	((size_t)8 << 20)
#define OBJECT_MAX	(CHUNK_BYTES / 4)

struct node {
	struct node *next;
	struct node *other;
	uint64_t value;
};

/* A heap with a root that is an array of slots. */
static struct fixture own;
static gcheap_type node_type;
static void *roots[16];

static void own_open(uint32_t flags)
{
	struct gcheap_config config = fixture_config();

	config.flags |= flags;
	config.gc_percent = -1;
	memset(roots, 0, sizeof(roots));
	fixture_open_with(&own, &config);
	node_type = type_with_mask(own.heap, sizeof(struct node), 8, 3);
	assert_int_equal(gcheap_root_add(own.heap, roots, ARRAY_SIZE(roots)), 0);
}

static int own_setup(void **state)
{
	(void)state;
	own_open(0);
	return 0;
}

static int strict_setup(void **state)
{
	(void)state;
	own_open(GCHEAP_ARENA_STRICT);
	return 0;
}

static int own_teardown(void **state)
{
	(void)state;
	assert_int_equal(gcheap_verify(own.heap), 0);
	fixture_close(&own);
	return 0;
}

#define own_test(test)	cmocka_unit_test_setup_teardown(test, own_setup, own_teardown)
#define strict_test(test)	cmocka_unit_test_setup_teardown(test, strict_setup, own_teardown)

static struct gcheap_arena *arena_new(void)
{
	struct gcheap_arena *arena;

	assert_int_equal(gcheap_arena_new(own.thread, &arena), 0);
	assert_true(gcheap_arena_number(arena) > 0);
	return arena;
}

static void collect(void)
{
	stack_wipe();
	assert_int_equal(gcheap_collect(own.thread), 0);
}

static uint64_t live(void)
{
	collect();
	return stats_of(own.heap).live_objects;
}

static void *chunk_of(const void *object)
{
	return (void *)((uintptr_t)object & ~(CHUNK_BYTES - 1));
}

/* ---- what faults -------------------------------------------------------------------- */

static sigjmp_buf probe_return;
static volatile sig_atomic_t is_probing;
static void *volatile fault_address;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	if (!is_probing)
		abort();
	fault_address = info->si_addr;
	siglongjmp(probe_return, 1);
}

/* Whether an access faults, at its own address. */
static bool faults(const void *address)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	struct sigaction before[2];
	volatile bool faulted = false;

	sigaction(SIGSEGV, &action, &before[0]);
	sigaction(SIGBUS, &action, &before[1]);
	fault_address = NULL;
	if (!sigsetjmp(probe_return, 1)) {
		is_probing = 1;
		*(volatile const char *)address;
	} else {
		faulted = true;
	}
	is_probing = 0;
	sigaction(SIGSEGV, &before[0], NULL);
	sigaction(SIGBUS, &before[1], NULL);
	if (faulted)
		assert_ptr_equal(fault_address, address);
	return faulted;
}

/* ---- allocation --------------------------------------------------------------------- */

static void objects_are_zeroed_and_apart(void **state)
{
	struct gcheap_arena *arena = roots[0] = arena_new();
	struct node *last = NULL;
	char *last_leaf = NULL;
	unsigned int i, b;

	(void)state;
	for (i = 0; i < 50000; i++) {
		struct node *node = gcheap_arena_alloc(arena, node_type);
		size_t bytes = 1 + i % 100;
		char *leaf = gcheap_arena_alloc_leaf(arena, bytes);

		assert_non_null(node);
		assert_non_null(leaf);
		assert_true(!node->next && !node->other && !node->value);
		assert_int_equal((uintptr_t)leaf % 16, 0);
		assert_int_equal((uintptr_t)node % 8, 0);
		for (b = 0; b < bytes; b++)
			assert_int_equal(leaf[b], 0);
		if (last && chunk_of(last) == chunk_of(node))
			assert_true(node > last);
		if (last_leaf && chunk_of(last_leaf) == chunk_of(leaf))
			assert_true(leaf + bytes <= last_leaf);
		memset(leaf, 0xff, bytes);
		node->value = ~0ull;
		node->next = last;
		last = node;
		last_leaf = leaf;
	}
	for (; last; last = last->next)
		assert_true(last->value == ~0ull);
	assert_int_equal(gcheap_arena_free(arena), 0);
}

static void alignment_is_the_types(void **state)
{
	static const size_t aligns[] = { 8, 16, 64, 512, 4096, 8192 };
	struct gcheap_arena *arena = roots[0] = arena_new();
	unsigned int i, round;

	(void)state;
	for (round = 0; round < 100; round++) {
		for (i = 0; i < ARRAY_SIZE(aligns); i++) {
			gcheap_type type = type_with_mask(own.heap, aligns[i] < 8 ? 8 : aligns[i],
							  aligns[i], i % 2);
			void *object = gcheap_arena_alloc(arena, type);

			assert_non_null(object);
			assert_int_equal((uintptr_t)object % aligns[i], 0);
			assert_non_null(gcheap_arena_alloc(arena, node_type));
			assert_non_null(gcheap_arena_alloc_leaf(arena, 1));
		}
	}
	assert_int_equal(gcheap_arena_free(arena), 0);
}

static void what_cannot_be_is_refused(void **state)
{
	struct gcheap_arena *arena = roots[0] = arena_new();

	(void)state;
	assert_refused(gcheap_arena_new(NULL, &arena), EINVAL, "thread is NULL");
	assert_refused(gcheap_arena_new(own.thread, NULL), EINVAL, "place for the arena");
	assert_refused_null(gcheap_arena_alloc(NULL, node_type), EINVAL, "user arena is NULL");
	assert_refused_null(gcheap_arena_alloc_leaf(NULL, 8), EINVAL, "user arena is NULL");
	assert_refused_null(gcheap_arena_alloc(arena, 0), EINVAL, "no type");
	assert_refused_null(gcheap_arena_alloc(arena, 12345), EINVAL, "no type");
	assert_refused_null(gcheap_arena_alloc(arena, UINT32_MAX), EINVAL, "no type");
	assert_refused_null(gcheap_arena_alloc_leaf(arena, 0), EINVAL, "0 bytes");
	assert_refused_null(gcheap_arena_alloc_array(arena, node_type, 0), EINVAL, "0 elements");
	assert_refused_null(gcheap_arena_alloc_array(arena, node_type, SIZE_MAX / 8), ENOMEM,
			    "more than any heap");
	assert_refused_null(gcheap_arena_alloc_leaf(arena, SIZE_MAX), ENOMEM, "out of memory");
	assert_non_null(gcheap_arena_alloc(arena, node_type));
	gcheap_park(own.thread);
	assert_refused_null(gcheap_arena_alloc_leaf(arena, 1 << 20), EINVAL, "parked");
	gcheap_unpark(own.thread);
	assert_int_equal(gcheap_arena_free(NULL), 0);
	assert_int_equal(gcheap_arena_free(arena), 0);
	assert_refused(gcheap_arena_free(arena), EINVAL, "was freed before");
	assert_refused_null(gcheap_arena_alloc(arena, node_type), EINVAL, "was freed before");
	assert_refused_null(gcheap_arena_alloc_leaf(arena, 8), EINVAL, "was freed before");
	assert_refused(gcheap_arena_hand_over(arena, own.thread), EINVAL, "was freed before");
}

/* ---- what is kept ------------------------------------------------------------------- */

static void an_arena_keeps_what_its_objects_lead_to(void **state)
{
	struct gcheap_arena *arena = roots[0] = arena_new();
	uint64_t before = live();
	struct node *node;
	unsigned int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		node = gcheap_arena_alloc(arena, node_type);
		node->next = gcheap_new(own.thread, node_type);
		node->next->other = gcheap_new(own.thread, node_type);
		/* A number is no pointer. */
		node->value = (uintptr_t)gcheap_new(own.thread, node_type);
	}
	/* The table of what it keeps is an object, too. */
	assert_int_equal(live(), before + 2001);
	assert_int_equal(live(), before + 2001);
	assert_int_equal(gcheap_arena_free(arena), 0);
	assert_int_equal(live(), before);
}

static void a_pointer_keeps_all_of_its_chunk(void **state)
{
	struct gcheap_arena *arena = roots[0] = arena_new();
	struct node *node, *first = NULL;
	unsigned int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		node = gcheap_arena_alloc(arena, node_type);
		node->next = gcheap_new(own.thread, node_type);
		if (!first)
			first = node;
	}
	/* Into the middle of another object than those that lead somewhere. */
	roots[1] = gcheap_arena_alloc_leaf(arena, 100);
	roots[1] = (char *)roots[1] + 50;
	roots[0] = NULL;
	assert_int_equal(live(), 100);
	assert_int_equal(live(), 100);
	assert_non_null(first->next);
	roots[1] = NULL;
	assert_int_equal(live(), 0);
	assert_true(faults(first));
}

static void arrays_have_the_pointers_of_each_element(void **state)
{
	struct gcheap_arena *arena = roots[0] = arena_new();
	uint64_t before = live() + 1;
	struct node *nodes;
	unsigned int i;

	(void)state;
	for (i = 1; i < 3000; i = i * 3 + 1) {
		unsigned int n;

		nodes = gcheap_arena_alloc_array(arena, node_type, i);
		assert_non_null(nodes);
		for (n = 0; n < i; n++) {
			nodes[n].next = gcheap_new(own.thread, node_type);
			nodes[n].other = gcheap_new(own.thread, node_type);
			before += 2;
		}
		assert_int_equal(live(), before);
	}
	assert_int_equal(gcheap_arena_free(arena), 0);
}

static void types_with_long_masks_are_known(void **state)
{
	static uint8_t mask[300 / 8 + 1];
	struct gcheap_type_desc desc = {
		.name = "long", .size = 2400, .align = 8, .ptr_bytes = 2400, .ptr_mask = mask,
	};
	struct gcheap_arena *arena = roots[0] = arena_new();
	uint64_t before = live() + 1;
	gcheap_type type;
	unsigned int i, w;

	(void)state;
	for (w = 0; w < 300; w += 7)
		mask[w / 8] |= (uint8_t)(1u << w % 8);
	desc.ptr_bytes = (w - 7) * 8 + 8;
	assert_int_equal(gcheap_type_register(own.heap, &desc, &type), 0);
	for (i = 0; i < 50; i++) {
		void **words;

		/* Elements begin at any word of a group of bits. */
		assert_non_null(gcheap_arena_alloc(arena, node_type));
		words = gcheap_arena_alloc(arena, type);
		assert_non_null(words);
		for (w = 0; w < 300; w++) {
			words[w] = gcheap_new(own.thread, node_type);
			before += w % 7 == 0;
		}
	}
	assert_int_equal(live(), before);
	assert_int_equal(gcheap_arena_free(arena), 0);
}

static void large_objects_are_the_heaps(void **state)
{
	struct gcheap_arena *arena = roots[0] = arena_new();
	size_t n = OBJECT_MAX / sizeof(struct node) + 1;
	uint64_t before = live();
	struct node *nodes;
	char *leaf;

	(void)state;
	nodes = gcheap_arena_alloc_array(arena, node_type, n);
	leaf = gcheap_arena_alloc_leaf(arena, OBJECT_MAX + 1);
	assert_non_null(nodes);
	assert_non_null(leaf);
	nodes[n - 1].next = gcheap_new(own.thread, node_type);
	assert_int_equal(stats_of(own.heap).arena_chunks, 0);
	assert_int_equal(live(), before + 4);
	assert_int_equal(gcheap_arena_free(arena), 0);
	assert_int_equal(live(), before);
}

static void arenas_and_heap_lead_to_each_other(void **state)
{
	struct gcheap_arena *first = roots[0] = arena_new(), *second = arena_new();
	struct node *a, *b, *c;

	(void)state;
	a = gcheap_arena_alloc(first, node_type);
	b = gcheap_arena_alloc(second, node_type);
	c = gcheap_new(own.thread, node_type);
	a->next = c;
	c->next = b;
	b->next = gcheap_new(own.thread, node_type);
	b->other = a;
	/* The second's handle dies; its chunk does not. The first's handle and table, and two. */
	assert_int_equal(live(), 4);
	assert_int_equal(live(), 4);
	assert_ptr_equal(b->other, a);
	c->next = NULL;
	assert_int_equal(live(), 3);
	assert_true(faults(b));
	assert_int_equal(gcheap_arena_free(first), 0);
}

static int holder_note(const struct gcheap_holder *holder, void *arg)
{
	struct gcheap_holder *noted = arg;

	*noted = *holder;
	if (holder->name)
		print_message("# held by %s\n", holder->name);
	return holder->kind == GCHEAP_HOLDER_ARENA ? 7 : 0;
}

static void arenas_are_looked_into(void **state)
{
	struct gcheap_arena *arena = roots[0] = arena_new();
	struct node *node = gcheap_arena_alloc(arena, node_type);
	void *object = gcheap_new_leaf(own.thread, 100);
	struct gcheap_holder holder;

	(void)state;
	node->other = object;
	assert_int_equal(gcheap_holders(own.heap, object, holder_note, &holder), 7);
	assert_ptr_equal(holder.slot, &node->other);
	assert_ptr_equal(holder.pointer, object);
	/* The table of what the arena keeps leads to the chunk. */
	memset(&holder, 0, sizeof(holder));
	assert_int_equal(gcheap_holders(own.heap, &node->value, holder_note, &holder), 0);
	assert_int_equal(holder.kind, GCHEAP_HOLDER_OBJECT);
	assert_ptr_equal(holder.pointer, chunk_of(node));

	assert_int_equal(gcheap_verify(own.heap), 0);
	node->next = (struct node *)((char *)own.heap + 8);
	assert_int_equal(gcheap_verify(own.heap), 0);
	node->next = (struct node *)((char *)chunk_of(node) + 4 * CHUNK_BYTES);
	assert_int_equal(gcheap_verify(own.heap), -EUCLEAN);
	node->next = NULL;
	assert_int_equal(gcheap_arena_free(arena), 0);
}

/* ---- the end ------------------------------------------------------------------------ */

static void full_chunks_fault_when_they_are_freed(void **state)
{
	struct gcheap_arena *arena = roots[0] = arena_new();
	void *leaves[64];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(leaves); i++) {
		leaves[i] = gcheap_arena_alloc_leaf(arena, 1 << 20);
		assert_non_null(leaves[i]);
		memset(leaves[i], (int)i, 1 << 20);
	}
	assert_true(stats_of(own.heap).arena_chunks >= 9);
	assert_int_equal(gcheap_arena_free(arena), 0);
	assert_true(stats_of(own.heap).arena_chunks <= 1);
	for (i = 0; i < ARRAY_SIZE(leaves) - 7; i++)
		assert_true(faults((char *)leaves[i] + i * 1000));
	/* A system call is told so. */
	assert_int_equal(write(-1, leaves[0], 1), -1);
}

static void freed_chunks_come_back_zeroed(void **state)
{
	struct gcheap_arena *arena;
	char *leaves[32], *leaf;
	unsigned int round, i, b;
	char *first = NULL;
	bool came = false;

	(void)state;
	for (round = 0; round < 4; round++) {
		arena = roots[0] = arena_new();
		for (i = 0; i < ARRAY_SIZE(leaves); i++) {
			leaf = leaves[i] = gcheap_arena_alloc_leaf(arena, 1 << 20);
			assert_non_null(leaf);
			for (b = 0; b < 1 << 20; b += 8)
				assert_int_equal(*(uint64_t *)(leaf + b), 0);
			memset(leaf, 0xff, 1 << 20);
			came = came || leaf == first;
		}
		if (!first)
			first = leaves[0];
		/* While something leads there, it stays away. */
		roots[1] = round < 2 ? leaves[0] : NULL;
		assert_int_equal(gcheap_arena_free(arena), 0);
		memset(leaves, 0, sizeof(leaves));
		collect();
		assert_true(faults(first));
		assert_false(came);
	}
	arena = roots[0] = arena_new();
	for (i = 0; i < 64 && leaf != first; i++)
		leaf = gcheap_arena_alloc_leaf(arena, 1 << 20);
	assert_ptr_equal(leaf, first);
	assert_false(faults(first));
	assert_int_equal(*first, 0);
	assert_int_equal(gcheap_arena_free(arena), 0);
}

static void the_last_chunk_is_the_next_arenas(void **state)
{
	struct gcheap_arena *arena = roots[0] = arena_new();
	struct node *node = gcheap_arena_alloc(arena, node_type), *next;

	(void)state;
	node->value = 7;
	assert_int_equal(gcheap_arena_free(arena), 0);
	assert_false(faults(node));
	assert_int_equal(node->value, 7);
	arena = roots[0] = arena_new();
	next = gcheap_arena_alloc(arena, node_type);
	assert_ptr_equal(chunk_of(next), chunk_of(node));
	assert_true(next > node);
	assert_int_equal(stats_of(own.heap).arena_chunks, 1);
	assert_int_equal(gcheap_arena_free(arena), 0);
}

static void strict_arenas_fault_at_once(void **state)
{
	struct gcheap_arena *arena = roots[0] = arena_new();
	struct node *node = gcheap_arena_alloc(arena, node_type);
	char *leaf = gcheap_arena_alloc_leaf(arena, 5);

	(void)state;
	assert_false(faults(node));
	assert_int_equal(gcheap_arena_free(arena), 0);
	assert_true(faults(node));
	assert_true(faults(leaf + 4));
	assert_int_equal(stats_of(own.heap).arena_chunks, 0);
}

/* ---- out of it ---------------------------------------------------------------------- */

static void values_outlive_their_arena(void **state)
{
	struct gcheap_arena *arena = roots[0] = arena_new();
	struct node *nodes = gcheap_arena_alloc_array(arena, node_type, 10), *copy;
	char *leaf = gcheap_arena_alloc_leaf(arena, 100), *text;
	void *object = gcheap_new(own.thread, node_type);
	unsigned int i;

	(void)state;
	roots[3] = object;
	strcpy(leaf, "outlives");
	for (i = 0; i < 10; i++) {
		nodes[i].value = i;
		nodes[i].next = object;
	}
	copy = roots[1] = gcheap_promote(own.thread, node_type, &nodes[3], 4);
	text = roots[2] = gcheap_promote(own.thread, 0, leaf, 9);
	assert_non_null(copy);
	assert_non_null(text);
	assert_ptr_equal(gcheap_promote(own.thread, node_type, object, 1), object);
	assert_ptr_equal(gcheap_promote(own.thread, node_type, copy, 1), copy);
	assert_refused_null(gcheap_promote(own.thread, node_type, &nodes[9], 2), EINVAL,
			    "not all of an arena's");
	assert_refused_null(gcheap_promote(own.thread, node_type, nodes, 0), EINVAL, "nothing");
	assert_refused_null(gcheap_promote(own.thread, 12345, nodes, 1), EINVAL, "no type");
	assert_refused_null(gcheap_promote(own.thread, node_type, nodes, SIZE_MAX), EINVAL,
			    "more than any");
	assert_refused_null(gcheap_promote(own.thread, node_type, &own, 1), EINVAL,
			    "in no arena");
	assert_refused_null(gcheap_promote(NULL, node_type, nodes, 1), EINVAL, "thread is NULL");
	assert_non_null(gcheap_arena_alloc_leaf(arena, 1 << 20));
	while (chunk_of(gcheap_arena_alloc_leaf(arena, 1 << 20)) == chunk_of(nodes))
		;
	assert_int_equal(gcheap_arena_free(arena), 0);
	assert_refused_null(gcheap_promote(own.thread, node_type, nodes, 1), EINVAL, "freed");
	assert_true(faults(nodes));
	collect();
	for (i = 0; i < 4; i++) {
		assert_int_equal(copy[i].value, i + 3);
		assert_ptr_equal(copy[i].next, object);
	}
	assert_string_equal(text, "outlives");
}

/* @words are in what is said of an address. */
static void assert_explained(const void *address, const char *words)
{
	char text[128];
	int error = gcheap_explain(address, text, sizeof(text));

	assert_int_equal(error, strstr(words, "no heap") ? -ENOENT : 0);
	if (!strstr(text, words))
		fail_msg("\"%s\" does not say \"%s\"", text, words);
}

static void addresses_are_explained(void **state)
{
	struct gcheap_arena *arena = roots[0] = arena_new();
	struct node *node = gcheap_arena_alloc(arena, node_type);
	char words[64], text[10];

	(void)state;
	assert_explained(&own, "in no heap");
	assert_explained(NULL, "in no heap");
	assert_explained(gcheap_new(own.thread, node_type), "byte 0 of a slot of");
	assert_explained(node, "in user arena 1, which is open");
	while (chunk_of(gcheap_arena_alloc_leaf(arena, 1 << 20)) == chunk_of(node))
		;
	assert_int_equal(gcheap_arena_free(arena), 0);
	snprintf(words, sizeof(words), "in user arena 1, freed since the last cycle by thread %d",
		 gettid());
	assert_explained(node, words);
	roots[1] = node;
	collect();
	assert_explained(node, "freed 1 cycle ago by thread");
	collect();
	roots[1] = NULL;
	collect();
	assert_explained(node, "freed 3 cycles ago by thread");
	assert_explained(node, "no pointer led there since");
	/* Short room is enough for a part. */
	memset(text, 'x', sizeof(text));
	assert_int_equal(gcheap_explain(node, text, 5), 0);
	assert_string_equal(text, "in u");
	assert_int_equal(text[5], 'x');
	assert_int_equal(gcheap_explain(node, NULL, 5), 0);

	arena = roots[0] = arena_new();
	node = gcheap_arena_alloc(arena, node_type);
	roots[1] = node;
	roots[0] = NULL;
	collect();
	assert_explained(node, "whose handle has died");
	roots[1] = NULL;
	collect();
	assert_explained(node, "because its handle had died");
}

/* ---- threads ------------------------------------------------------------------------ */

static struct gcheap_arena *shared;

static void *other_thread(void *arg)
{
	struct gcheap_thread *thread;

	(void)arg;
	if (gcheap_thread_attach(own.heap, &thread))
		return (void *)1;
	errno = 0;
	if (gcheap_arena_alloc(shared, node_type) || errno != EBUSY)
		return (void *)2;
	errno = 0;
	if (gcheap_arena_alloc_leaf(shared, 8) || errno != EBUSY)
		return (void *)3;
	if (gcheap_arena_free(shared) != -EBUSY || !strstr(gcheap_error(), "belongs to thread"))
		return (void *)4;
	if (gcheap_arena_hand_over(shared, thread) != -EBUSY)
		return (void *)5;
	return NULL;
}

static void *taking_thread(void *arg)
{
	struct gcheap_thread *thread;

	(void)arg;
	if (gcheap_thread_attach(own.heap, &thread))
		return (void *)1;
	if (gcheap_arena_new(thread, &shared))
		return (void *)2;
	roots[0] = shared;
	return gcheap_arena_alloc(shared, node_type) ? NULL : (void *)3;
}

static void run_thread(void *(*function)(void *arg))
{
	pthread_t thread;
	void *result;

	gcheap_park(own.thread);
	assert_int_equal(pthread_create(&thread, NULL, function, NULL), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	gcheap_unpark(own.thread);
	assert_null(result);
}

static void an_arena_is_one_threads(void **state)
{
	(void)state;
	shared = roots[0] = arena_new();
	run_thread(other_thread);
	assert_non_null(gcheap_arena_alloc(shared, node_type));
	assert_int_equal(gcheap_arena_hand_over(shared, own.thread), 0);
	assert_int_equal(gcheap_arena_free(shared), 0);

	run_thread(taking_thread);
	assert_refused_null(gcheap_arena_alloc(shared, node_type), EBUSY, "no thread's");
	assert_int_equal(gcheap_arena_hand_over(shared, own.thread), 0);
	assert_non_null(gcheap_arena_alloc(shared, node_type));
	assert_int_equal(gcheap_arena_free(shared), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		own_test(objects_are_zeroed_and_apart),
		own_test(alignment_is_the_types),
		own_test(what_cannot_be_is_refused),
		own_test(an_arena_keeps_what_its_objects_lead_to),
		own_test(a_pointer_keeps_all_of_its_chunk),
		own_test(arrays_have_the_pointers_of_each_element),
		own_test(types_with_long_masks_are_known),
		own_test(large_objects_are_the_heaps),
		own_test(arenas_and_heap_lead_to_each_other),
		own_test(arenas_are_looked_into),
		own_test(full_chunks_fault_when_they_are_freed),
		own_test(freed_chunks_come_back_zeroed),
		own_test(the_last_chunk_is_the_next_arenas),
		strict_test(strict_arenas_fault_at_once),
		own_test(values_outlive_their_arena),
		own_test(addresses_are_explained),
		own_test(an_arena_is_one_threads),
	};

	return run_in_all_layouts("user arenas", tests);
}

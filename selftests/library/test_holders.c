// SPDX-License-Identifier: MIT
/*
 * gcheap_holders(): all that points to an object is told, by what it is and where, and nothing
 * else is.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "library_test.h"

#define SEEN_MAX	1024u
#define LARGE_WORDS	50000u

struct node {
	struct node *left;
	uint64_t number;
	struct node *right;
};

/**
 * struct seen - what was told
 * @count: how many holders there were
 * @all: the first of them
 * @names: theirs
 */
struct seen {
	size_t count;
	struct gcheap_holder all[SEEN_MAX];
	char names[SEEN_MAX][256];
};

static int see(const struct gcheap_holder *holder, void *arg)
{
	struct seen *seen = arg;

	assert_int_equal(holder->size, sizeof(*holder));
	assert_non_null(holder->name);
	if (seen->count < SEEN_MAX) {
		seen->all[seen->count] = *holder;
		snprintf(seen->names[seen->count], sizeof(seen->names[0]), "%s", holder->name);
	}
	seen->count++;
	return 0;
}

/* Not on the stack, where it would be a holder the next time. */
static const struct seen *holders_of(struct gcheap *heap, const void *obj)
{
	static struct seen seen;

	seen.count = 0;
	assert_int_equal(gcheap_holders(heap, obj, see, &seen), 0);
	return &seen;
}

static void print_seen(const struct seen *seen)
{
	size_t i;

	for (i = 0; i < seen->count && i < SEEN_MAX; i++)
		print_message("# kind %u, slot %p, pointer %p, %s\n", seen->all[i].kind,
			      seen->all[i].slot, seen->all[i].pointer, seen->names[i]);
}

/* There is one, with a name that has these words; @slot is NULL: whatever it is. */
static void assert_has(const struct seen *seen, enum gcheap_holder_kind kind, const void *slot,
		       const char *words)
{
	size_t i;

	for (i = 0; i < seen->count && i < SEEN_MAX; i++) {
		if (seen->all[i].kind == kind && (!slot || seen->all[i].slot == slot) &&
		    strstr(seen->names[i], words))
			return;
	}
	print_seen(seen);
	fail_msg("no holder of kind %u at %p whose name has \"%s\"", kind, slot, words);
}

static void assert_one(struct gcheap *heap, const void *obj, enum gcheap_holder_kind kind,
		       const void *slot, const char *words)
{
	const struct seen *seen = holders_of(heap, obj);

	assert_has(seen, kind, slot, words);
	if (seen->count != 1)
		print_seen(seen);
	assert_int_equal(seen->count, 1);
	assert_ptr_equal(seen->all[0].slot, slot);
}

static void assert_none(struct gcheap *heap, const void *obj)
{
	const struct seen *seen = holders_of(heap, obj);

	if (seen->count)
		print_seen(seen);
	assert_int_equal(seen->count, 0);
}

static gcheap_type node_type(struct fixture *f)
{
	return GCHEAP_TYPE(f->heap, struct node, left, right);
}

/* ---- objects ------------------------------------------------------------------------ */

static void what_nothing_points_to_has_none(void **state)
{
	struct fixture *f = *state;
	gcheap_type type = node_type(f);
	struct node *node = gcheap_new(f->thread, type);
	void *leaf = gcheap_new_leaf(f->thread, 1);
	void *large = gcheap_new_leaf(f->thread, 100000);

	assert_none(f->heap, node);
	assert_none(f->heap, leaf);
	assert_none(f->heap, large);
	/* Numbers are no pointers, nor what is in leaves. */
	node->number = (uintptr_t)large;
	*(void **)large = node;
	assert_none(f->heap, large);
	assert_none(f->heap, node);
	/* Nor is what the object has itself. */
	node->left = gcheap_new(f->thread, type);
	assert_none(f->heap, node);
}

static void assert_object(const struct seen *seen, size_t i, const void *base, const void *slot,
			  const void *pointer, struct gcheap *heap)
{
	struct gcheap_object found;

	assert_int_equal(gcheap_find(heap, base, &found), 0);
	assert_true(i < seen->count);
	assert_int_equal(seen->all[i].kind, GCHEAP_HOLDER_OBJECT);
	assert_ptr_equal(seen->all[i].slot, slot);
	assert_ptr_equal(seen->all[i].pointer, pointer);
	assert_ptr_equal(seen->all[i].object.base, found.base);
	assert_int_equal(seen->all[i].object.size, found.size);
	assert_int_equal(seen->all[i].object.type, found.type);
	assert_int_equal(seen->all[i].object.flags, found.flags);
	assert_string_equal(seen->names[i], "object");
}

static void each_word_of_an_object_is_told(void **state)
{
	struct fixture *f = *state;
	gcheap_type type = node_type(f);
	struct node *node = gcheap_new(f->thread, type);
	struct node *holder = gcheap_new(f->thread, type);
	const struct seen *seen;

	holder->right = node;
	seen = holders_of(f->heap, node);
	assert_int_equal(seen->count, 1);
	assert_object(seen, 0, holder, &holder->right, node, f->heap);

	/* Into it, not to its beginning; and a second time; and itself. */
	holder->left = (struct node *)&node->right;
	node->left = node;
	seen = holders_of(f->heap, &node->number);
	assert_int_equal(seen->count, 3);
	if ((char *)node < (char *)holder) {
		assert_object(seen, 0, node, &node->left, node, f->heap);
		assert_object(seen, 1, holder, &holder->left, &node->right, f->heap);
		assert_object(seen, 2, holder, &holder->right, node, f->heap);
	} else {
		assert_object(seen, 0, holder, &holder->left, &node->right, f->heap);
		assert_object(seen, 1, holder, &holder->right, node, f->heap);
		assert_object(seen, 2, node, &node->left, node, f->heap);
	}
}

static void arrays_and_large_objects_hold_and_are_held(void **state)
{
	static const size_t lengths[] = { 2, 5, 30, 90, 700, LARGE_WORDS };
	struct fixture *f = *state;
	gcheap_type type = node_type(f);
	struct node *node = gcheap_new(f->thread, type);
	const struct seen *seen;
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct node *array = gcheap_new_array(f->thread, type, lengths[i]);

		assert_non_null(array);
		n = lengths[i] - 1;
		array[n].right = node;
		seen = holders_of(f->heap, node);
		assert_int_equal(seen->count, 1);
		assert_object(seen, 0, array, &array[n].right, node, f->heap);
		array[n].right = NULL;

		/* The last element of it. */
		node->left = &array[n];
		seen = holders_of(f->heap, array);
		assert_int_equal(seen->count, 1);
		assert_object(seen, 0, node, &node->left, &array[n], f->heap);
		node->left = NULL;
		assert_none(f->heap, array);
	}
}

static void spans_of_own_and_mixed_types_are_read(void **state)
{
	struct fixture *f = *state;
	gcheap_type types[] = {
		type_with_mask(f->heap, 24, 8, 4), type_with_mask(f->heap, 160, 8, 1ull << 19),
		type_with_mask(f->heap, 512, 8, 1ull << 63),
		type_with_mask(f->heap, 1000, 8, 1ull << 60),
	};
	static const size_t words[] = { 2, 19, 63, 60 };
	void *node = gcheap_new_leaf(f->thread, 40);
	const struct seen *seen;
	size_t i;

	for (i = 0; i < 2 * ARRAY_SIZE(types); i++) {
		size_t t = i / 2;
		void **holder = i % 2 ? busy_type(f, types[t], 1) : gcheap_new(f->thread, types[t]);

		assert_non_null(holder);
		holder[words[t]] = node;
		seen = holders_of(f->heap, node);
		assert_int_equal(seen->count, 1);
		assert_object(seen, 0, holder, &holder[words[t]], node, f->heap);
		holder[words[t]] = NULL;
	}
}

/* ---- registered roots ------------------------------------------------------------------ */

static void registered_roots_are_told_by_kind(void **state)
{
	struct fixture *f = *state;
	static struct node *slots[3];
	static struct node elements[3];
	static uintptr_t words[3];
	gcheap_type type = node_type(f);
	struct node *node = gcheap_new(f->thread, type);

	memset(slots, 0, sizeof(slots));
	memset(elements, 0, sizeof(elements));
	memset(words, 0, sizeof(words));
	assert_int_equal(gcheap_root_add(f->heap, slots, 3), 0);
	assert_int_equal(gcheap_root_add_typed(f->heap, elements, type, 3), 0);
	assert_int_equal(gcheap_root_add_ambiguous(f->heap, words, sizeof(words)), 0);
	assert_none(f->heap, node);
	slots[2] = node;
	assert_one(f->heap, node, GCHEAP_HOLDER_ROOT, &slots[2], "root");
	slots[2] = NULL;
	elements[2].number = (uintptr_t)node;
	assert_none(f->heap, node);
	elements[2].right = node;
	assert_one(f->heap, node, GCHEAP_HOLDER_ROOT_TYPED, &elements[2].right, "typed root");
	elements[2].right = NULL;
	words[1] = (uintptr_t)&node->right;
	assert_one(f->heap, node, GCHEAP_HOLDER_ROOT_AMBIGUOUS, &words[1], "ambiguous root");
	words[1] = 0;
	slots[0] = node;
	elements[0].left = node;
	words[0] = (uintptr_t)node;
	assert_int_equal(holders_of(f->heap, node)->count, 3);
	assert_int_equal(gcheap_root_remove(f->heap, slots), 0);
	assert_int_equal(gcheap_root_remove(f->heap, elements), 0);
	assert_int_equal(gcheap_root_remove(f->heap, words), 0);
	assert_none(f->heap, node);
}

/* Whatever is told keeps the object, and what is not does not. */
static void the_end_of_an_object_counts_where_words_are_ambiguous(void **state)
{
	struct fixture *f = *state;
	static uintptr_t word;
	static void *slot;
	struct gcheap_object object;
	char *leaf = gcheap_new_leaf(f->thread, 64);
	uint64_t live;

	slot = NULL;
	assert_int_equal(gcheap_find(f->heap, leaf, &object), 0);
	assert_int_equal(gcheap_root_add_ambiguous(f->heap, &word, sizeof(word)), 0);
	assert_int_equal(gcheap_root_add(f->heap, &slot, 1), 0);
	word = (uintptr_t)leaf + object.size;
	assert_one(f->heap, leaf, GCHEAP_HOLDER_ROOT_AMBIGUOUS, &word, "ambiguous root");
	live = live_after_collect(f);
	assert_int_equal(gcheap_find(f->heap, leaf, &object), 0);
	word++;
	assert_none(f->heap, leaf);
	word = 0;
	slot = leaf + object.size;
	assert_none(f->heap, leaf);
	slot = NULL;
	assert_int_equal(live_after_collect(f), live - 1);
	assert_int_equal(gcheap_root_remove(f->heap, &word), 0);
	assert_int_equal(gcheap_root_remove(f->heap, &slot), 0);
}

static void frames_are_told(void **state)
{
	struct fixture *f = *state;
	struct node *first = NULL, *second = NULL;
	char tid[32];

	snprintf(tid, sizeof(tid), "thread %d", gettid());
	GCHEAP_FRAME(f->thread, first, second);
	second = gcheap_new(f->thread, node_type(f));
	assert_one(f->heap, second, GCHEAP_HOLDER_FRAME, &second, "frame of");
	assert_one(f->heap, second, GCHEAP_HOLDER_FRAME, &second, tid);
	first = second;
	assert_int_equal(holders_of(f->heap, second)->count, 2);
	GCHEAP_FRAME_END(f->thread);
	assert_none(f->heap, second);
}

/* ---- specials ---------------------------------------------------------------------------- */

static void roots_themselves_are_told(void **state)
{
	struct fixture *f = *state;
	struct node *node = gcheap_new(f->thread, node_type(f));
	void *uncollectable = gcheap_new_uncollectable(f->thread, 0, 100);

	assert_int_equal(gcheap_pin(f->heap, node), 0);
	assert_int_equal(gcheap_pin(f->heap, node), 0);
	assert_one(f->heap, node, GCHEAP_HOLDER_PIN, NULL, "pin");
	assert_int_equal(gcheap_unpin(f->heap, node), 0);
	assert_int_equal(gcheap_unpin(f->heap, node), 0);
	assert_none(f->heap, node);
	assert_one(f->heap, uncollectable, GCHEAP_HOLDER_UNCOLLECTABLE, NULL, "uncollectable");
	gcheap_free(f->thread, uncollectable);
}

static struct gcheap *finalizer_heap;

static void look_from_finalizer(void *obj, void *arg)
{
	assert_one(finalizer_heap, obj, GCHEAP_HOLDER_FINALIZER, NULL, "running finalizer");
	assert_one(finalizer_heap, arg, GCHEAP_HOLDER_ARGUMENT, NULL,
		   "argument of a running finalizer");
}

static void look_from_cleanup(void *arg)
{
	assert_one(finalizer_heap, arg, GCHEAP_HOLDER_ARGUMENT, NULL,
		   "argument of a running cleanup");
}

static void finalizers_and_their_arguments_are_told(void **state)
{
	struct fixture *f = *state;
	struct node *node = gcheap_new(f->thread, node_type(f));
	void *arg = gcheap_new_leaf(f->thread, 100);

	finalizer_heap = f->heap;
	assert_int_equal(gcheap_finalizer_set(f->heap, node, look_from_finalizer, arg), 0);
	assert_none(f->heap, node);
	assert_one(f->heap, arg, GCHEAP_HOLDER_ARGUMENT, NULL, "argument of a finalizer");
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_one(f->heap, node, GCHEAP_HOLDER_FINALIZER, NULL, "queued finalizer");
	assert_one(f->heap, arg, GCHEAP_HOLDER_ARGUMENT, NULL, "argument of a queued finalizer");
	assert_int_equal(gcheap_run_finalizers(f->thread), 1);
	assert_none(f->heap, node);
	assert_none(f->heap, arg);

	assert_int_equal(gcheap_cleanup_add(f->heap, node, look_from_cleanup, arg), 0);
	assert_one(f->heap, arg, GCHEAP_HOLDER_ARGUMENT, NULL, "argument of a cleanup");
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_one(f->heap, arg, GCHEAP_HOLDER_ARGUMENT, NULL, "argument of a queued cleanup");
	assert_int_equal(gcheap_run_finalizers(f->thread), 1);
	assert_none(f->heap, arg);
}

static void weak_references_hold_nothing_and_are_held(void **state)
{
	struct fixture *f = *state;
	struct node *node = gcheap_new(f->thread, node_type(f));
	struct gcheap_weak *weak, *again;

	assert_int_equal(gcheap_weak_new(f->heap, node, &weak), 0);
	assert_none(f->heap, node);
	assert_one(f->heap, weak, GCHEAP_HOLDER_WEAK, NULL, "weak reference");
	assert_int_equal(gcheap_weak_new(f->heap, node, &again), 0);
	assert_one(f->heap, weak, GCHEAP_HOLDER_WEAK, NULL, "weak reference");
	gcheap_weak_free(f->heap, weak);
	gcheap_weak_free(f->heap, weak);
	assert_none(f->heap, weak);
}

static void values_are_held_by_their_keys(void **state)
{
	struct fixture *f = *state;
	struct node *key = gcheap_new(f->thread, node_type(f));
	struct node *value = gcheap_new(f->thread, node_type(f));
	struct gcheap_weak_map *map;

	assert_int_equal(gcheap_ephemeron_add(f->heap, key, value), 0);
	assert_none(f->heap, key);
	assert_one(f->heap, value, GCHEAP_HOLDER_EPHEMERON, NULL, "value of an ephemeron");
	assert_ptr_equal(holders_of(f->heap, value)->all[0].object.base, key);
	assert_int_equal(gcheap_ephemeron_remove(f->heap, key, value), 0);
	assert_none(f->heap, value);
	assert_int_equal(gcheap_weak_map_new(f->heap, key, &map), 0);
	assert_int_equal(gcheap_weak_map_set(map, key, value), 0);
	assert_none(f->heap, key);
	assert_one(f->heap, value, GCHEAP_HOLDER_EPHEMERON, NULL, "value in a weak map");
	assert_ptr_equal(holders_of(f->heap, value)->all[0].object.base, key);
	gcheap_weak_map_free(map);
}

/* ---- variables ----------------------------------------------------------------------------- */

static struct node *static_variable;
static __thread struct node *thread_variable;

static void static_and_thread_local_variables_are_told(void **state)
{
	struct fixture *f = *state;
	struct node *node = gcheap_new(f->thread, node_type(f));
	const struct seen *seen;
	char tid[32];

	static_variable = node;
	thread_variable = node;
	assert_none(f->heap, node);
	assert_int_equal(gcheap_root_add_program(f->heap), 0);
	seen = holders_of(f->heap, node);
	assert_has(seen, GCHEAP_HOLDER_PROGRAM, &static_variable, "test_holders");
	snprintf(tid, sizeof(tid), "thread %d", gettid());
	assert_int_equal(gcheap_root_add_tls(f->thread), 0);
	seen = holders_of(f->heap, node);
	assert_has(seen, GCHEAP_HOLDER_PROGRAM, &static_variable, "test_holders");
	assert_has(seen, GCHEAP_HOLDER_TLS, &thread_variable, "test_holders");
	assert_has(seen, GCHEAP_HOLDER_TLS, &thread_variable, tid);
	static_variable = NULL;
	thread_variable = NULL;
}

/* ---- stacks and threads ----------------------------------------------------------------------- */

/**
 * struct other - another thread, and what it holds
 * @heap: the heap
 * @node: the object
 * @tid: the thread
 * @state: 1: it holds it; 2: it shall end
 * @slot: where on its stack
 */
struct other {
	struct gcheap *heap;
	struct node *node;
	pid_t tid;
	int state;
	void *slot;
};

static void other_wait(const struct other *other, int state)
{
	while (__atomic_load_n(&other->state, __ATOMIC_ACQUIRE) != state)
		usleep(100);
}

static void other_end(struct fixture *f, struct other *other, pthread_t thread)
{
	__atomic_store_n(&other->state, 2, __ATOMIC_RELEASE);
	gcheap_park(f->thread);
	assert_int_equal(pthread_join(thread, NULL), 0);
	gcheap_unpark(f->thread);
}

static void *holds_on_its_stack(void *arg)
{
	struct other *other = arg;
	struct gcheap_thread *thread;
	struct node *volatile on_stack = other->node;

	pthread_setname_np(pthread_self(), "a-holder");
	if (gcheap_thread_attach(other->heap, &thread))
		abort();
	other->tid = gettid();
	other->slot = (void *)&on_stack;
	__atomic_store_n(&other->state, 1, __ATOMIC_RELEASE);
	gcheap_park(thread);
	other_wait(other, 2);
	gcheap_unpark(thread);
	gcheap_thread_detach(thread);
	return on_stack;
}

/* One that computes; @node is nowhere else while it does. */
static void *holds_in_a_register(void *arg)
{
	struct other *other = arg;
	struct gcheap_thread *thread;
	void *node = other->node;

	if (gcheap_thread_attach(other->heap, &thread))
		abort();
	other->tid = gettid();
	__atomic_store_n(&other->state, 1, __ATOMIC_RELEASE);
#if defined(__x86_64__)
	__asm__ volatile("1: pause\n\tcmpl $2, %0\n\tjne 1b" : : "m"(other->state), "r"(node) :
			 "memory", "cc");
#else
	while (__atomic_load_n(&other->state, __ATOMIC_ACQUIRE) != 2)
		__asm__ volatile("" : : "r"(node));
#endif
	gcheap_thread_detach(thread);
	return NULL;
}

static struct fixture conservative;

static int conservative_setup(void **state)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	stack_wipe();
	fixture_open_with(&conservative, &config);
	*state = &conservative;
	return 0;
}

static int conservative_teardown(void **state)
{
	fixture_close(*state);
	return 0;
}

#define conservative_test(test) \
	cmocka_unit_test_setup_teardown(test, conservative_setup, conservative_teardown)

static void stacks_of_other_threads_are_told(void **state)
{
	struct fixture *f = *state;
	struct other other = { .heap = f->heap };
	const struct seen *seen;
	pthread_t thread;
	char words[64];

	other.node = gcheap_new(f->thread, node_type(f));
	assert_int_equal(pthread_create(&thread, NULL, holds_on_its_stack, &other), 0);
	other_wait(&other, 1);
	seen = holders_of(f->heap, other.node);
	snprintf(words, sizeof(words), "stack of thread %d (a-holder)", other.tid);
	/* A fake stack has a place of its own. */
	assert_has(seen, GCHEAP_HOLDER_STACK, UNDER_ASAN ? NULL : other.slot, words);
	other_end(f, &other, thread);
}

static void registers_of_other_threads_are_told(void **state)
{
	struct fixture *f = *state;
	struct other other = { .heap = f->heap };
	const struct seen *seen;
	pthread_t thread;
	char words[64];

	if (UNDER_TSAN)
		skip_because("ThreadSanitizer delivers signals in calls alone, and there is none");
	other.node = gcheap_new(f->thread, node_type(f));
	assert_int_equal(pthread_create(&thread, NULL, holds_in_a_register, &other), 0);
	other_wait(&other, 1);
	seen = holders_of(f->heap, other.node);
	snprintf(words, sizeof(words), "registers of thread %d (", other.tid);
	assert_has(seen, GCHEAP_HOLDER_REGISTERS, NULL, words);
	other_end(f, &other, thread);
}

static void the_callers_stack_is_told(void **state)
{
	struct fixture *f = *state;
	struct node *volatile node = gcheap_new(f->thread, node_type(f));
	const struct seen *seen = holders_of(f->heap, node);

	assert_has(seen, GCHEAP_HOLDER_STACK, UNDER_ASAN ? NULL : (void *)&node, "stack of");
}

/* What the caller's caller has in a register that all keep for it. */
static void the_callers_registers_are_told(void **state)
{
#if defined(__x86_64__)
	struct fixture *f = *state;
	struct node *node = gcheap_new(f->thread, node_type(f));
	static struct seen seen;
	void *call[4] = { f->heap, (void *)see, &seen, (void *)gcheap_holders };
	register void *held __asm__("r15") = node;
	int result;

	seen.count = 0;
	/* The call as it is written: nobody else saves the register. */
	__asm__ volatile("movq %%rsp, %%r12\n\tsubq $128, %%rsp\n\tandq $-16, %%rsp\n\t"
			 "movq (%1), %%rdi\n\tmovq %2, %%rsi\n\tmovq 8(%1), %%rdx\n\t"
			 "movq 16(%1), %%rcx\n\tcall *24(%1)\n\tmovq %%r12, %%rsp"
			 : "=&a"(result)
			 : "b"(call), "r"(held)
			 : "rdi", "rsi", "rdx", "rcx", "r8", "r9", "r10", "r11", "r12", "memory",
			   "cc");
	assert_int_equal(result, 0);
	assert_has(&seen, GCHEAP_HOLDER_REGISTERS, NULL, "registers of");
#else
	(void)state;
	skip_because("it is written for x86-64");
#endif
}

static void declared_stacks_are_told(void **state)
{
	struct fixture *f = *state;
	size_t bytes = 64 << 10;
	char *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void **word = (void **)(stack + bytes - 64);
	const struct seen *seen;

	assert_ptr_not_equal(stack, MAP_FAILED);
	assert_int_equal(gcheap_stack_add(f->heap, stack, bytes), 0);
	*word = gcheap_new(f->thread, node_type(f));
	seen = holders_of(f->heap, *word);
	assert_has(seen, GCHEAP_HOLDER_STACK, word, "declared stack");
	/* The library knows where a guard page is, and reads on behind it. */
	assert_int_equal(mprotect(stack + 8192, 4096, PROT_NONE), 0);
	seen = holders_of(f->heap, *word);
	assert_has(seen, GCHEAP_HOLDER_STACK, word, "declared stack");
	assert_int_equal(gcheap_stack_remove(f->heap, stack), 0);
	munmap(stack, bytes);
}

static int is_over;

static void *allocates(void *arg)
{
	struct fixture f = { .heap = arg };
	gcheap_type type = type_with_mask(f.heap, sizeof(struct node), 8, 5);
	struct node *list = NULL;
	size_t i;

	if (gcheap_thread_attach(f.heap, &f.thread))
		abort();
	GCHEAP_FRAME(f.thread, list);
	for (i = 0; !__atomic_load_n(&is_over, __ATOMIC_RELAXED); i++) {
		struct node *node = gcheap_new(f.thread, type);

		if (!node)
			abort();
		node->left = i % 100 ? list : NULL;
		list = node;
		if (i % 4096 == 0 && gcheap_collect(f.thread))
			abort();
	}
	GCHEAP_FRAME_END(f.thread);
	gcheap_thread_detach(f.thread);
	return NULL;
}

static void *looks(void *arg)
{
	struct other *other = arg;
	const struct seen *seen;
	size_t i;

	for (i = 0; i < 20; i++) {
		seen = holders_of(other->heap, other->node);
		assert_int_equal(seen->count, 2);
		assert_has(seen, GCHEAP_HOLDER_ROOT, NULL, "root");
		assert_has(seen, GCHEAP_HOLDER_OBJECT, NULL, "object");
	}
	return NULL;
}

static void other_threads_go_on(void **state)
{
	struct fixture *f = *state;
	gcheap_type type = node_type(f);
	static struct node *roots[2];
	pthread_t threads[2], looker;
	struct other other = { .heap = f->heap };
	unsigned int i;

	memset(roots, 0, sizeof(roots));
	assert_int_equal(gcheap_root_add(f->heap, roots, 2), 0);
	roots[0] = gcheap_new(f->thread, type);
	roots[1] = gcheap_new(f->thread, type);
	roots[1]->right = roots[0];
	other.node = roots[0];
	is_over = 0;
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, allocates, f->heap), 0);
	/* One that is attached to nothing, and this one. */
	gcheap_park(f->thread);
	assert_int_equal(pthread_create(&looker, NULL, looks, &other), 0);
	assert_int_equal(pthread_join(looker, NULL), 0);
	looks(&other);
	gcheap_unpark(f->thread);
	looks(&other);
	__atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
	gcheap_park(f->thread);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	gcheap_unpark(f->thread);
	assert_int_equal(gcheap_root_remove(f->heap, roots), 0);
}

/* ---- what the function may do ----------------------------------------------------------- */

#define MANY	3000u

/* A root with an array that leads to the object so often, all of which is nobody else's. */
static struct node *many_make(struct fixture *f)
{
	gcheap_type type = node_type(f);
	struct node *node = gcheap_new(f->thread, type);
	struct node *array = gcheap_new_array(f->thread, type, MANY);
	size_t i;

	assert_non_null(array);
	for (i = 0; i < MANY; i++) {
		array[i].left = node;
		array[i].number = i ^ 4711;
	}
	return node;
}

/**
 * struct use - what a function does
 * @f: the heap
 * @calls: how often it was called
 * @end: after how many calls it returns something
 */
struct use {
	struct fixture *f;
	size_t calls;
	size_t end;
};

static int ends_early(const struct gcheap_holder *holder, void *arg)
{
	struct use *use = arg;

	(void)holder;
	return ++use->calls == use->end ? -4711 : 0;
}

static void what_the_function_returns_ends_it(void **state)
{
	struct fixture *f = *state;
	struct use use = { .f = f, .end = 1 };
	struct node *node = many_make(f);

	assert_int_equal(gcheap_holders(f->heap, node, ends_early, &use), -4711);
	assert_int_equal(use.calls, 1);
	use = (struct use) { .f = f, .end = 2000 };
	assert_int_equal(gcheap_holders(f->heap, node, ends_early, &use), -4711);
	assert_int_equal(use.calls, 2000);
	use = (struct use) { .f = f };
	assert_int_equal(gcheap_holders(f->heap, node, ends_early, &use), 0);
	assert_int_equal(use.calls, MANY);
	/* Nothing is left that keeps the objects. */
	assert_int_equal(live_after_collect(f), 0);
}

static int allocates_and_reads(const struct gcheap_holder *holder, void *arg)
{
	const struct node *element = holder->slot;
	struct use *use = arg;

	if (use->calls % 500 == 0) {
		assert_int_equal(gcheap_collect(use->f->thread), 0);
		/* Would take the place of what was lost. */
		drop_bytes(use->f, 256 << 10);
	}
	/* Holders come as they lie in memory; nothing but this leads to them. */
	assert_int_equal(element->number, use->calls ^ 4711);
	use->calls++;
	return 0;
}

static void it_may_allocate_and_collect(void **state)
{
	struct fixture *f = *state;
	struct use use = { .f = f };

	assert_int_equal(gcheap_holders(f->heap, many_make(f), allocates_and_reads, &use), 0);
	assert_int_equal(use.calls, MANY);
	assert_int_equal(gcheap_verify(f->heap), 0);
	assert_int_equal(live_after_collect(f), 0);
}

static int up(const struct gcheap_holder *holder, void *arg)
{
	struct use *use = arg;

	use->calls++;
	if (holder->kind != GCHEAP_HOLDER_OBJECT) {
		assert_int_equal(holder->kind, GCHEAP_HOLDER_ROOT);
		return 1;
	}
	return gcheap_holders(use->f->heap, holder->object.base, up, arg);
}

/* What this itself keeps alive meanwhile is not told. */
static void it_may_go_on_to_a_root(void **state)
{
	struct fixture *f = *state;
	gcheap_type type = node_type(f);
	static struct node *first;
	struct use use = { .f = f };
	struct node *last;
	size_t i;

	first = NULL;
	assert_int_equal(gcheap_root_add(f->heap, &first, 1), 0);
	last = gcheap_new(f->thread, type);
	first = last;
	for (i = 0; i < 20; i++) {
		last->left = gcheap_new(f->thread, type);
		last = last->left;
	}
	assert_int_equal(gcheap_holders(f->heap, last, up, &use), 1);
	assert_int_equal(use.calls, 21);
	assert_int_equal(gcheap_root_remove(f->heap, &first), 0);
	assert_int_equal(gcheap_holders(f->heap, last, up, &use), 0);
}

static int holders_of_each(const struct gcheap_object *object, void *arg)
{
	struct use *use = arg;

	use->calls += holders_of(use->f->heap, object->base)->count;
	return 0;
}

static void a_walk_is_no_holder(void **state)
{
	struct fixture *f = *state;
	struct use use = { .f = f };
	struct node *node = gcheap_new(f->thread, node_type(f));

	node->left = gcheap_new_leaf(f->thread, 100);
	assert_int_equal(gcheap_walk(f->heap, holders_of_each, &use), 0);
	assert_int_equal(use.calls, 1);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void err_null_or_no_object(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { .count = 0 };
	void *leaf = gcheap_new_leaf(f->thread, 100000);

	assert_refused(gcheap_holders(NULL, leaf, see, &seen), EINVAL, "NULL");
	assert_refused(gcheap_holders(f->heap, leaf, NULL, NULL), EINVAL, "function");
	assert_refused(gcheap_holders(f->heap, NULL, see, &seen), ENOENT, "no object");
	assert_refused(gcheap_holders(f->heap, &seen, see, &seen), ENOENT, "no object");
	gcheap_free(f->thread, leaf);
	assert_refused(gcheap_holders(f->heap, leaf, see, &seen), ENOENT, "no object");
	assert_int_equal(seen.count, 0);
}

static void address_space_limit(rlim_t bytes, struct rlimit *before)
{
	struct rlimit little;

	assert_int_equal(getrlimit(RLIMIT_AS, before), 0);
	little = *before;
	little.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
}

static int holders_without_memory(struct gcheap *heap, const void *obj, struct use *use)
{
	struct rlimit before;
	int error;

	address_space_limit(1 << 20, &before);
	error = gcheap_holders(heap, obj, ends_early, use);
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	return error;
}

static void err_no_memory(void **state)
{
	struct fixture *f = *state;
	struct use use = { .f = f };
	static void *slots[2048];
	struct node *node = many_make(f);
	void *leaf = gcheap_new_leaf(f->thread, 100);
	size_t i;

	if (UNDER_ASAN || UNDER_TSAN)
		skip_because("a sanitizer needs more address space than any limit");
	assert_refused(holders_without_memory(f->heap, node, &use), ENOMEM, "memory");
	assert_int_equal(use.calls, 0);
	assert_int_equal(gcheap_holders(f->heap, node, ends_early, &use), 0);
	assert_int_equal(use.calls, MANY);

	/* The table of roots is full, and this needs one. */
	memset(slots, 0, sizeof(slots));
	for (i = 0; i < ARRAY_SIZE(slots); i++)
		assert_int_equal(gcheap_root_add(f->heap, &slots[i], 1), 0);
	slots[7] = leaf;
	use.calls = 0;
	assert_refused(holders_without_memory(f->heap, leaf, &use), ENOMEM, "roots");
	assert_int_equal(use.calls, 0);
	assert_int_equal(gcheap_holders(f->heap, leaf, ends_early, &use), 0);
	assert_int_equal(use.calls, 1);
	for (i = 0; i < ARRAY_SIZE(slots); i++)
		assert_int_equal(gcheap_root_remove(f->heap, &slots[i]), 0);
	assert_int_equal(live_after_collect(f), 0);
}

/**
 * struct nest - calls within each other
 * @heap: the heap
 * @obj: whose holder each looks for
 * @left: how many more
 */
struct nest {
	struct gcheap *heap;
	const void *obj;
	size_t left;
};

static int nested(const struct gcheap_holder *holder, void *arg)
{
	struct nest *nest = arg;

	(void)holder;
	return nest->left-- ? gcheap_holders(nest->heap, nest->obj, nested, nest) : 0;
}

/* Memory for holders there is, for whoever has so many of them; but none for names. */
static void err_no_memory_for_a_name(void **state)
{
	struct fixture *f = *state;
	struct nest nest = { .heap = f->heap, .left = 1500 };
	struct node *node = gcheap_new(f->thread, node_type(f));
	struct rlimit before;
	int error;

	if (UNDER_ASAN || UNDER_TSAN)
		skip_because("a sanitizer needs more address space than any limit");
	assert_int_equal(gcheap_pin(f->heap, node), 0);
	nest.obj = node;
	assert_int_equal(gcheap_holders(f->heap, node, nested, &nest), 0);
	assert_int_equal(gcheap_unpin(f->heap, node), 0);

	GCHEAP_FRAME(f->thread, node);
	nest.left = 1500;
	address_space_limit(1 << 20, &before);
	error = gcheap_holders(f->heap, node, nested, &nest);
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	assert_refused(error, ENOMEM, "memory");
	assert_true(nest.left > 0 && nest.left < 1500);
	assert_one(f->heap, node, GCHEAP_HOLDER_FRAME, &node, "frame of");
	GCHEAP_FRAME_END(f->thread);
}

/* Not called in the child, which has none of the objects. */
static int fork_within(const struct gcheap_holder *holder, void *arg)
{
	pid_t *child = arg;

	(void)holder;
	if (!*child)
		_exit(2);
	if (*child < 0)
		*child = fork();
	return 0;
}

static void err_child_of_fork(void **state)
{
	struct fixture *f = *state;
	struct node *node = many_make(f);
	struct seen seen = { .count = 0 };
	pid_t child = -1;
	int status, error;

	error = gcheap_holders(f->heap, node, fork_within, &child);
	if (!child)
		_exit(error == -EPERM &&
		      gcheap_holders(f->heap, node, see, &seen) == -EPERM ? 0 : 1);
	assert_int_equal(error, 0);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static ucontext_t main_context, other_context;
static struct other unknown;

static void look_from_unknown_stack(void)
{
	unknown.state = gcheap_holders(unknown.heap, unknown.node, see, NULL);
	swapcontext(&other_context, &main_context);
}

static void err_unknown_stack(void **state)
{
	struct fixture *f = *state;
	size_t bytes = 128 << 10;
	char *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(stack, MAP_FAILED);
	unknown = (struct other) { .heap = f->heap };
	unknown.node = gcheap_new(f->thread, node_type(f));
	assert_int_equal(getcontext(&other_context), 0);
	other_context.uc_stack.ss_sp = stack;
	other_context.uc_stack.ss_size = bytes;
	makecontext(&other_context, look_from_unknown_stack, 0);
	assert_int_equal(swapcontext(&main_context, &other_context), 0);
	assert_refused(unknown.state, EINVAL, "another stack");
	munmap(stack, bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(what_nothing_points_to_has_none),
		fixture_test(each_word_of_an_object_is_told),
		fixture_test(arrays_and_large_objects_hold_and_are_held),
		fixture_test(spans_of_own_and_mixed_types_are_read),
		fixture_test(registered_roots_are_told_by_kind),
		fixture_test(the_end_of_an_object_counts_where_words_are_ambiguous),
		fixture_test(frames_are_told),
		fixture_test(roots_themselves_are_told),
		fixture_test(finalizers_and_their_arguments_are_told),
		fixture_test(weak_references_hold_nothing_and_are_held),
		fixture_test(values_are_held_by_their_keys),
		fixture_test(static_and_thread_local_variables_are_told),
		conservative_test(stacks_of_other_threads_are_told),
		conservative_test(registers_of_other_threads_are_told),
		conservative_test(the_callers_stack_is_told),
		conservative_test(the_callers_registers_are_told),
		conservative_test(declared_stacks_are_told),
		fixture_test(other_threads_go_on),
		fixture_test(what_the_function_returns_ends_it),
		fixture_test(it_may_allocate_and_collect),
		fixture_test(it_may_go_on_to_a_root),
		fixture_test(a_walk_is_no_holder),
		fixture_test(err_null_or_no_object),
		fixture_test(err_no_memory),
		fixture_test(err_no_memory_for_a_name),
		fixture_test(err_child_of_fork),
		conservative_test(err_unknown_stack),
	};

	/* What is dead is there until somebody asks for a cycle. */
	setenv("GCHEAP_GC", "off", 1);
	return run_in_all_layouts("holders", tests);
}

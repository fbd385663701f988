// SPDX-License-Identifier: MIT
/*
 * A model heap of plain C arrays and a gcheap heap, driven side by side by random
 * operations: allocate, store, clear, change a root, collect. After each cycle
 * everything that the model can reach must be in the heap as the model has it,
 * and the heap must have found exactly as many live objects as the model: a
 * marker that misses an edge and one that follows what is no pointer both fail.
 *
 * Conservative stacks are off, so that what is live is exact. The model only
 * ever picks objects by walking from the roots: collections that the pacer
 * starts inside an allocation need no other care.
 *
 * Environment: GCHEAP_SEED repeats a run, GCHEAP_OPS changes its length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <gcheap.h>

#define ROOTS		256u
#define OBJECTS_MAX	65536u
#define EDGES_MAX	16u	/* pointer words of an object that the model uses */
#define KINDS		11u
#define NONE		UINT32_MAX

/* A kind of object: a registered type, or leaf bytes, or an array. */
struct kind {
	const char *name;
	size_t bytes;		/* of an element */
	size_t ptr_bytes;
	uint8_t mask[16];	/* bit mask of the pointer words */
	size_t count;		/* elements */
	gcheap_type type;	/* 0: leaf */
};

/*
 * One object of the model. @edge[i] is what the i-th modelled pointer word
 * points at. All words that are no pointers hold @stamp plus the word's number.
 */
struct model_object {
	uint64_t *address;
	uint32_t kind;
	uint32_t edge[EDGES_MAX];
	uint64_t stamp;
	uint32_t seen;
};

struct model {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	struct kind kinds[KINDS];
	size_t words[KINDS];
	uint32_t edges[KINDS];			/* how many pointer words are used */
	uint32_t edge_word[KINDS][EDGES_MAX];	/* and which they are */
	uint64_t *is_pointer[KINDS];		/* bit a word */
	void *root[ROOTS];
	uint32_t root_object[ROOTS];
	struct model_object *objects;
	uint32_t free_list[OBJECTS_MAX];
	uint32_t free_count;
	uint32_t *queue;
	uint32_t epoch;
	bool growing;
	uint32_t most_reached;
	uint64_t random;
};

static uint64_t random_next(struct model *m)
{
	/* xorshift64*: Marsaglia 2003, Vigna 2016 */
	m->random ^= m->random >> 12;
	m->random ^= m->random << 25;
	m->random ^= m->random >> 27;
	return m->random * 0x2545f4914f6cdd1dull;
}

static uint32_t random_below(struct model *m, uint32_t n)
{
	return (uint32_t)(random_next(m) >> 32) % n;
}

static const struct kind all_kinds[KINDS] = {
	{ "pair", 16, 16, { 0x3 }, 1, 0 },
	{ "odd 24", 24, 16, { 0x2 }, 1, 0 },
	{ "node 64", 64, 40, { 0x13 }, 1, 0 },
	{ "same mask as node 64", 56, 40, { 0x13 }, 1, 0 },
	{ "full 512", 512, 128, { 0xff, 0xff }, 1, 0 },
	{ "long tail 1016", 1016, 64, { 0x81 }, 1, 0 },
	{ "class 4864", 4800, 512, { 0x01, 0, 0, 0, 0, 0, 0, 0x80 }, 1, 0 },
	{ "array of 3-word structs", 24, 16, { 0x1 }, 9, 0 },
	{ "array of pairs over 2 KiB", 32, 8, { 0x1 }, 70, 0 },
	{ "large array", 4096, 16, { 0x2 }, 10, 0 },
	{ "leaf", 40, 0, { 0 }, 1, 0 },
};

static void kinds_register(struct model *m)
{
	memcpy(m->kinds, all_kinds, sizeof(all_kinds));
	for (uint32_t k = 0; k < KINDS; k++) {
		struct kind *kind = &m->kinds[k];
		size_t element_words = kind->bytes / 8;
		size_t words = element_words * kind->count;

		m->words[k] = words;
		m->is_pointer[k] = calloc(words / 64 + 1, 8);
		assert_non_null(m->is_pointer[k]);
		for (size_t w = 0; w < words; w++) {
			size_t in = w % element_words;

			if (in >= kind->ptr_bytes / 8 || !(kind->mask[in / 8] >> in % 8 & 1))
				continue;
			m->is_pointer[k][w / 64] |= 1ull << w % 64;
			/* The last ones of a long array matter as much as the first. */
			if (m->edges[k] < EDGES_MAX)
				m->edge_word[k][m->edges[k]++] = (uint32_t)w;
			else
				m->edge_word[k][EDGES_MAX - 1] = (uint32_t)w;
		}
		if (kind->ptr_bytes) {
			struct gcheap_type_desc desc = {
				.name = kind->name,
				.size = kind->bytes,
				.align = 8,
				.ptr_bytes = kind->ptr_bytes,
				.ptr_mask = kind->mask,
			};

			assert_int_equal(gcheap_type_register(m->heap, &desc, &kind->type), 0);
		}
	}
}

static bool word_is_pointer(const struct model *m, uint32_t k, size_t word)
{
	return m->is_pointer[k][word / 64] >> word % 64 & 1;
}

static void object_check(struct model *m, uint32_t id)
{
	const struct model_object *o = &m->objects[id];
	uint32_t edge = 0;

	for (size_t w = 0; w < m->words[o->kind]; w++) {
		if (!word_is_pointer(m, o->kind, w)) {
			if (o->address[w] != o->stamp + w)
				fail_msg("object %u (%s) word %zu: %#lx, should be %#lx", id,
					 m->kinds[o->kind].name, w, (long)o->address[w],
					 (long)(o->stamp + w));
		} else if (edge < m->edges[o->kind] && m->edge_word[o->kind][edge] == w) {
			uint32_t to = o->edge[edge++];

			assert_ptr_equal((void *)(uintptr_t)o->address[w],
					 to == NONE ? NULL : m->objects[to].address);
		} else {
			assert_int_equal(o->address[w], 0);
		}
	}
}

/* Marks what the model reaches; returns how many objects. */
static uint32_t model_reach(struct model *m)
{
	uint32_t count = 0, done = 0;

	m->epoch++;
	for (uint32_t r = 0; r < ROOTS; r++) {
		uint32_t id = m->root_object[r];

		if (id != NONE && m->objects[id].seen != m->epoch) {
			m->objects[id].seen = m->epoch;
			m->queue[count++] = id;
		}
	}
	while (done < count) {
		const struct model_object *o = &m->objects[m->queue[done++]];

		for (uint32_t e = 0; e < m->edges[o->kind]; e++) {
			uint32_t id = o->edge[e];

			if (id == NONE || m->objects[id].seen == m->epoch)
				continue;
			m->objects[id].seen = m->epoch;
			m->queue[count++] = id;
		}
	}
	return count;
}

static void model_forget_unreached(struct model *m)
{
	m->free_count = 0;
	for (uint32_t id = 0; id < OBJECTS_MAX; id++) {
		if (m->objects[id].seen != m->epoch)
			m->free_list[m->free_count++] = id;
	}
}

static void collect_and_compare(struct model *m)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };
	uint32_t reached = model_reach(m);

	if (reached > m->most_reached)
		m->most_reached = reached;
	assert_int_equal(gcheap_collect(m->thread), 0);
	for (uint32_t i = 0; i < reached; i++) {
		struct gcheap_object found;
		uint32_t id = m->queue[i];
		char *address = (char *)m->objects[id].address;
		size_t last = m->words[m->objects[id].kind] * 8 - 1;

		object_check(m, id);
		assert_int_equal(gcheap_find(m->heap, address + last, &found), 0);
		assert_ptr_equal(found.base, address);
	}
	assert_int_equal(gcheap_stats(m->heap, &stats), 0);
	assert_int_equal(stats.live_objects, reached);
	model_forget_unreached(m);
}

/* An object that the roots reach, or NONE. */
static uint32_t pick(struct model *m)
{
	uint32_t id = m->root_object[random_below(m, ROOTS)];
	uint32_t steps = random_below(m, 48);

	while (id != NONE && steps--) {
		const struct model_object *o = &m->objects[id];
		uint32_t next;

		if (!m->edges[o->kind])
			break;
		next = o->edge[random_below(m, m->edges[o->kind])];
		if (next == NONE)
			break;
		id = next;
	}
	return id;
}

static void edge_set(struct model *m, uint32_t from, uint32_t edge, uint32_t to)
{
	struct model_object *o = &m->objects[from];
	uint64_t *slot = o->address + m->edge_word[o->kind][edge];

	gcheap_store(m->thread, slot, to == NONE ? NULL : m->objects[to].address);
	o->edge[edge] = to;
}

/* An edge of an object to set: while the heap grows rather one that is not used. */
static uint32_t edge_pick(struct model *m, uint32_t id)
{
	const struct model_object *o = &m->objects[id];
	uint32_t edge = random_below(m, m->edges[o->kind]);

	for (uint32_t e = 0; m->growing && o->edge[edge] != NONE && e < m->edges[o->kind]; e++)
		edge = (edge + 1) % m->edges[o->kind];
	return edge;
}

static uint32_t kind_random(struct model *m)
{
	/* Large objects are rare, as in programs. */
	uint32_t k = random_below(m, KINDS);

	if (k == 9 && random_below(m, 32))
		k = 0;
	return k;
}

static void op_alloc(struct model *m)
{
	uint32_t k = kind_random(m);
	uint32_t root = random_below(m, ROOTS);
	uint32_t parent = pick(m);
	struct model_object *o;
	uint32_t id;

	if (!m->free_count)
		collect_and_compare(m);
	if (!m->free_count) {	/* everything is reachable: drop half of the roots */
		for (uint32_t r = 0; r < ROOTS; r += 2) {
			m->root[r] = NULL;
			m->root_object[r] = NONE;
		}
		return;
	}
	id = m->free_list[--m->free_count];
	o = &m->objects[id];
	if (!m->kinds[k].type)
		o->address = gcheap_new_leaf(m->thread, m->kinds[k].bytes);
	else
		o->address = gcheap_new_array(m->thread, m->kinds[k].type, m->kinds[k].count);
	if (!o->address)
		fail_msg("%s", gcheap_error());
	o->kind = k;
	o->stamp = random_next(m) | 1ull << 63;	/* never an address of the heap */
	for (uint32_t e = 0; e < EDGES_MAX; e++)
		o->edge[e] = NONE;
	for (size_t w = 0; w < m->words[k]; w++) {
		if (o->address[w])
			fail_msg("a new %s is not zeroed at word %zu", m->kinds[k].name, w);
		if (!word_is_pointer(m, k, w))
			o->address[w] = o->stamp + w;
	}
	/* Hang it under a root, or under an object that is reachable already. */
	if (parent != NONE && m->edges[m->objects[parent].kind] && random_below(m, 8)) {
		edge_set(m, parent, edge_pick(m, parent), id);
	} else {
		m->root[root] = o->address;
		m->root_object[root] = id;
	}
}

static void op_store(struct model *m)
{
	uint32_t from = pick(m);
	uint32_t to = m->growing || random_below(m, 2) ? pick(m) : NONE;

	if (from != NONE && m->edges[m->objects[from].kind])
		edge_set(m, from, edge_pick(m, from), to);
}

static void op_root(struct model *m)
{
	uint32_t root = random_below(m, ROOTS);
	uint32_t id = random_below(m, 3) ? pick(m) : NONE;

	m->root_object[root] = id;
	m->root[root] = id == NONE ? NULL : m->objects[id].address;
}

static uint64_t environment_number(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

static void run(enum gcheap_layout layout)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct model *m = calloc(1, sizeof(*m));
	uint64_t seed = environment_number("GCHEAP_SEED", (uint64_t)time(NULL));
	uint64_t ops = environment_number("GCHEAP_OPS", 600000);

	assert_non_null(m);
	config.layout = layout;
	config.flags = 0;
	if (gcheap_open(&config, &m->heap))
		fail_msg("%s", gcheap_error());
	print_message("# layout %d, backend %d: GCHEAP_SEED=%llu GCHEAP_OPS=%llu\n", layout,
		      gcheap_backend(m->heap), (unsigned long long)seed,
		      (unsigned long long)ops);
	assert_int_equal(gcheap_thread_attach(m->heap, &m->thread), 0);
	m->random = seed * 2 + 1;
	m->objects = calloc(OBJECTS_MAX, sizeof(*m->objects));
	m->queue = calloc(OBJECTS_MAX, sizeof(*m->queue));
	assert_non_null(m->objects);
	assert_non_null(m->queue);
	for (uint32_t r = 0; r < ROOTS; r++)
		m->root_object[r] = NONE;
	m->epoch = 1;	/* no object is seen */
	model_forget_unreached(m);
	kinds_register(m);
	assert_int_equal(gcheap_root_add(m->heap, m->root, ROOTS), 0);

	for (uint64_t i = 0; i < ops; i++) {
		uint32_t dice = random_below(m, 100);

		/* Grow, then drop most of it, over and over. */
		m->growing = i % 65536 < 57344;
		if (dice < 60)
			op_alloc(m);
		else if (dice < (m->growing ? 99 : 90))
			op_store(m);
		else
			op_root(m);
		if (random_below(m, 20000) == 0)
			collect_and_compare(m);
	}
	collect_and_compare(m);
	assert_int_equal(gcheap_verify(m->heap), 0);
	print_message("# at most %u objects were live\n", m->most_reached);
	/* Less would not be a test of anything. */
	if (ops >= 100000)
		assert_true(m->most_reached > 4000);

	memset(m->root, 0, sizeof(m->root));
	for (uint32_t r = 0; r < ROOTS; r++)
		m->root_object[r] = NONE;
	collect_and_compare(m);

	gcheap_thread_detach(m->thread);
	gcheap_close(m->heap);
	for (uint32_t k = 0; k < KINDS; k++)
		free(m->is_pointer[k]);
	free(m->queue);
	free(m->objects);
	free(m);
}

static void test_span_layout_agrees_with_the_model(void **state)
{
	(void)state;
	run(GCHEAP_LAYOUT_SPAN);
}

static void test_header_layout_agrees_with_the_model(void **state)
{
	(void)state;
	run(GCHEAP_LAYOUT_HEADER);
}

static void test_footer_layout_agrees_with_the_model(void **state)
{
	(void)state;
	run(GCHEAP_LAYOUT_FOOTER);
}

static void test_bitmap_layout_agrees_with_the_model(void **state)
{
	(void)state;
	run(GCHEAP_LAYOUT_BITMAP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_span_layout_agrees_with_the_model),
		cmocka_unit_test(test_header_layout_agrees_with_the_model),
		cmocka_unit_test(test_footer_layout_agrees_with_the_model),
		cmocka_unit_test(test_bitmap_layout_agrees_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
/*
 * The mutator and its model.
 *
 * Each object begins with two pointers to others, and says which entry of the model it
 * is; words that its seed makes fill the rest. An entry has the object's address,
 * seed, and the entries that it points to. Roots are an array of pointers. What no
 * root leads to is dead: the comparison finds out, and reuses its entries.
 */
#include "model.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/gcheap.h>

#include "backend/backend.h"
#include "library.h"

#define ROOTS		1024
#define ENTRIES		(1u << 17)
#define EDGES		2
#define CHUNKS		2

/* Bytes of the types: all ways that a layout has for small objects, and large ones. */
static const size_t type_bytes[] = {
	48, 64, 112, 208, 480, 512, 528, 1008, 2000, 5000, 12000, 30000, 40000, 300000, 2000000,
};
#define TYPES	(sizeof(type_bytes) / sizeof(type_bytes[0]))

struct object {
	struct object *edge[EDGES];
	uint64_t entry;
	uint64_t seed;
	uint64_t words;		/* of @fill */
	uint64_t fill[];
};

struct entry {
	struct object *object;
	uint64_t seed;
	uint32_t words;
	uint32_t edge[EDGES];	/* entries; 0: none */
	uint32_t round;		/* of the comparison that found it alive */
};

struct model {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	gcheap_type types[TYPES];
	void *roots[ROOTS];
	uint32_t root_entries[ROOTS];
	struct entry *entries;
	uint32_t *free_entries, free_count;
	uint32_t *stack;
	uint32_t round;
	uint64_t live_bytes, allowed_bytes;
	uint32_t chunks[CHUNKS];	/* first pages; 0: none */
	uint64_t random;
	struct model_figures figures;
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint64_t random_next(struct model *model)
{
	model->random += 0x9e3779b97f4a7c15;
	return mix(model->random);
}

static uint32_t random_below(struct model *model, uint32_t n)
{
	return (uint32_t)(random_next(model) % n);
}

#define die(...) do { \
	fprintf(stderr, "soak: " __VA_ARGS__); \
	fputc('\n', stderr); \
	abort(); \
} while (0)

/* ---- comparison --------------------------------------------------------------------- */

static void entry_check(struct model *model, uint32_t number)
{
	const struct entry *entry = &model->entries[number];
	const struct object *object = entry->object;
	uint64_t i;

	if (object->entry != number || object->seed != entry->seed ||
	    object->words != entry->words)
		die("object %u at %p says that it is %llu", number, (const void *)object,
		    (unsigned long long)object->entry);
	for (i = 0; i < entry->words; i++) {
		if (object->fill[i] != mix(entry->seed + i))
			die("object %u at %p: word %llu has changed", number,
			    (const void *)object, (unsigned long long)i);
	}
	for (i = 0; i < EDGES; i++) {
		uint32_t to = entry->edge[i];

		if (object->edge[i] != (to ? model->entries[to].object : NULL))
			die("object %u at %p: pointer %llu has changed", number,
			    (const void *)object, (unsigned long long)i);
	}
}

static uint64_t *chunk_words(const struct model *model, uint32_t page)
{
	return (uint64_t *)(model->heap->view.base + ((size_t)page << GCHEAP_PAGE_SHIFT));
}

/* A word in each page of 4 KiB is written: a chunk has many. */
static void chunk_check(const struct model *model, uint32_t page)
{
	const uint64_t *words = chunk_words(model, page);
	size_t i;

	for (i = 0; i < GCHEAP_CHUNK_BYTES / 8; i += 512) {
		if (words[i] != mix(page + i))
			die("chunk at page %u: word %zu has changed", page, i);
	}
}

void model_check(struct model *model)
{
	uint32_t top = 0, i;

	model->round++;
	model->live_bytes = 0;
	for (i = 0; i < ROOTS; i++) {
		uint32_t number = model->root_entries[i];

		if (model->roots[i] != (number ? model->entries[number].object : NULL))
			die("root %u has changed", i);
		if (number && model->entries[number].round != model->round) {
			model->entries[number].round = model->round;
			model->stack[top++] = number;
		}
	}
	while (top) {
		uint32_t number = model->stack[--top];
		const struct entry *entry = &model->entries[number];

		entry_check(model, number);
		model->figures.checked++;
		model->live_bytes += sizeof(struct object) + 8ull * entry->words;
		for (i = 0; i < EDGES; i++) {
			uint32_t to = entry->edge[i];

			if (to && model->entries[to].round != model->round) {
				model->entries[to].round = model->round;
				model->stack[top++] = to;
			}
		}
	}
	for (i = 0; i < CHUNKS; i++) {
		if (model->chunks[i])
			chunk_check(model, model->chunks[i]);
	}
	model->free_count = 0;
	for (i = ENTRIES - 1; i; i--) {
		if (model->entries[i].round != model->round)
			model->free_entries[model->free_count++] = i;
	}
	if (gcheap_verify(model->heap))
		die("gcheap_verify: %s", gcheap_error());
	model->figures.checks++;
}

/* ---- operations ---------------------------------------------------------------------- */

static void roots_drop(struct model *model, uint32_t part)
{
	uint32_t i;

	for (i = 0; i < ROOTS; i++) {
		if (random_below(model, part) == 0) {
			model->roots[i] = NULL;
			model->root_entries[i] = 0;
		}
	}
}

/* Memory is short: keep less. */
static void refused(struct model *model)
{
	if (errno != ENOMEM)
		die("an allocation failed: %s", gcheap_error());
	model->figures.refused++;
	roots_drop(model, 3);
	model_check(model);
}

static void edge_set(struct model *model, uint32_t number, uint32_t edge, uint32_t to)
{
	struct entry *entry = &model->entries[number];

	entry->edge[edge] = to;
	gcheap_store(model->thread, &entry->object->edge[edge],
		     to ? model->entries[to].object : NULL);
}

static void step_new(struct model *model)
{
	uint32_t kind = random_below(model, TYPES * 60);
	uint32_t root = random_below(model, ROOTS);
	struct object *object;
	struct entry *entry;
	uint32_t number, i;
	size_t bytes;

	/* Mostly small ones. */
	if (kind >= TYPES)
		kind = random_below(model, 8);
	bytes = type_bytes[kind];
	if (!model->free_count || model->live_bytes > model->allowed_bytes) {
		roots_drop(model, 8);
		model_check(model);
	}
	while (!model->free_count && model->live_bytes) {
		roots_drop(model, 2);
		model_check(model);
	}
	if (!model->free_count)
		die("more objects are alive than the model has room for");
	if (random_below(model, 4) == 0)
		object = gcheap_new_leaf(model->thread, bytes);
	else
		object = gcheap_new(model->thread, model->types[kind]);
	if (!object) {
		refused(model);
		return;
	}
	number = model->free_entries[--model->free_count];
	entry = &model->entries[number];
	*entry = (struct entry) {
		.object = object,
		.seed = random_next(model),
		.words = (uint32_t)((bytes - sizeof(*object)) / 8),
		.round = model->round,
	};
	for (i = 0; i < entry->words; i++) {
		if (object->fill[i])
			die("a new object at %p is not zero", (void *)object);
		object->fill[i] = mix(entry->seed + i);
	}
	object->entry = number;
	object->seed = entry->seed;
	object->words = entry->words;
	model->roots[root] = object;
	model->root_entries[root] = number;
	model->live_bytes += bytes;
	model->figures.objects++;
}

/* Leaves hold no pointers: those that the collector does not look at are none. */
static bool is_leaf(struct model *model, uint32_t number)
{
	struct gcheap_object found;

	if (gcheap_find(model->heap, model->entries[number].object, &found))
		die("gcheap_find: %s", gcheap_error());
	if (found.base != model->entries[number].object)
		die("gcheap_find found another object");
	return found.flags & GCHEAP_OBJECT_NOSCAN;
}

static void step_link(struct model *model)
{
	uint32_t from = model->root_entries[random_below(model, ROOTS)];
	uint32_t to = model->root_entries[random_below(model, ROOTS)];

	if (from && !is_leaf(model, from))
		edge_set(model, from, random_below(model, EDGES), to);
}

static void step_drop(struct model *model)
{
	uint32_t root = random_below(model, ROOTS);

	model->roots[root] = NULL;
	model->root_entries[root] = 0;
}

/* Requests that the library has no function for go to the backend; 0 or an errno. */
static int request(struct model *model, enum gcheap_op op, void *arg)
{
	return -backend_request(model->heap->backend, op, arg);
}

static void chunk_new(struct model *model, uint32_t *chunk)
{
	struct gcheap_chunk_new new = { .size = sizeof(new) };
	uint64_t *words;
	size_t i;

	errno = request(model, GCHEAP_OP_CHUNK_NEW, &new);
	if (errno) {
		refused(model);
		return;
	}
	words = chunk_words(model, new.out_page);
	for (i = 0; i < GCHEAP_CHUNK_BYTES / 8; i += 512) {
		if (words[i] && !(new.out_flags & GCHEAP_GRANT_NEEDZERO))
			die("a new chunk at page %u is not zero", new.out_page);
		words[i] = mix(new.out_page + i);
	}
	*chunk = new.out_page;
	model->figures.chunks++;
}

/* Freed, then ready for use again: no object points into it. */
static void chunk_free(struct model *model, uint32_t *chunk)
{
	struct gcheap_chunk_free end = { .size = sizeof(end), .page = *chunk };
	struct gcheap_chunk_ready ready = { .size = sizeof(ready), .page = *chunk };

	chunk_check(model, *chunk);
	if (request(model, GCHEAP_OP_CHUNK_FREE, &end))
		die("CHUNK_FREE of page %u failed", *chunk);
	if (request(model, GCHEAP_OP_CHUNK_READY, &ready))
		die("CHUNK_READY of page %u failed", *chunk);
	*chunk = 0;
}

static void step_chunk(struct model *model)
{
	uint32_t *chunk = &model->chunks[random_below(model, CHUNKS)];

	if (*chunk)
		chunk_free(model, chunk);
	else
		chunk_new(model, chunk);
}

static void step_scavenge(struct model *model)
{
	struct gcheap_scavenge scavenge = {
		.size = sizeof(scavenge),
		.max_bytes = 1 + random_next(model) % (16 << 20),
	};
	int error = request(model, GCHEAP_OP_SCAVENGE, &scavenge);

	if (error && error != EOPNOTSUPP)
		die("SCAVENGE failed: %s", strerror(error));
}

static void step_collect(struct model *model)
{
	if (gcheap_collect(model->thread))
		die("gcheap_collect: %s", gcheap_error());
}

void model_step(struct model *model)
{
	uint32_t what = random_below(model, 100000);

	model->figures.steps++;
	if (what < 70000)
		step_new(model);
	else if (what < 95000)
		step_link(model);
	else if (what < 99930)
		step_drop(model);
	else if (what < 99950)
		step_scavenge(model);
	else if (what < 99970)
		step_collect(model);
	else if (what < 99980)
		model_check(model);
	else
		step_chunk(model);
}

/* ---- life ---------------------------------------------------------------------------- */

static void types_register(struct model *model)
{
	static const uint8_t mask = (1 << EDGES) - 1;
	size_t i;

	for (i = 0; i < TYPES; i++) {
		const struct gcheap_type_desc desc = {
			.name = "object",
			.size = type_bytes[i],
			.align = 8,
			.ptr_bytes = EDGES * sizeof(void *),
			.ptr_mask = &mask,
		};

		if (gcheap_type_register(model->heap, &desc, &model->types[i]))
			die("gcheap_type_register: %s", gcheap_error());
	}
}

struct model *model_open(enum gcheap_layout layout, uint64_t seed, uint64_t live_bytes)
{
	struct gcheap_config config = { .size = sizeof(config), .layout = layout };
	struct model *model = calloc(1, sizeof(*model));
	uint32_t i;

	if (!model)
		die("out of memory");
	model->entries = calloc(ENTRIES, sizeof(*model->entries));
	model->free_entries = calloc(ENTRIES, sizeof(*model->free_entries));
	model->stack = calloc(ENTRIES, sizeof(*model->stack));
	if (!model->entries || !model->free_entries || !model->stack)
		die("out of memory");
	/* All the ordinary memory that it will need: later there may be none. */
	memset(model->free_entries, 0xff, ENTRIES * sizeof(*model->free_entries));
	memset(model->stack, 0xff, ENTRIES * sizeof(*model->stack));
	for (i = 0; i < ENTRIES; i++)
		model->entries[i].round = 0xffffffff;
	model->random = seed;
	model->allowed_bytes = live_bytes;
	if (gcheap_open(&config, &model->heap) ||
	    gcheap_thread_attach(model->heap, &model->thread) ||
	    gcheap_root_add(model->heap, model->roots, ROOTS))
		die("no heap: %s", gcheap_error());
	types_register(model);
	model_check(model);
	return model;
}

void model_close(struct model *model, struct model_figures *figures)
{
	model_check(model);
	*figures = model->figures;
	figures->events = model->heap->view.ctrl->pressure_sequence;
	gcheap_thread_detach(model->thread);
	gcheap_close(model->heap);
	free(model->stack);
	free(model->free_entries);
	free(model->entries);
	free(model);
}

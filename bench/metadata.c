// SPDX-License-Identifier: MIT
/* link: */
/*
 * What pointer metadata costs in each layout: bytes of it an object, ns to allocate
 * an object, ns to scan one.
 *
 *	metadata [megabytes live] [rounds] [cell]		60 15
 *
 * Heaps of all layouts take turns in one process, the first of a round another one
 * each time; medians of the rounds. Ratios are what a busy machine leaves intact.
 *
 * Metadata is what the collector needs beside objects: the tables of the heap's
 * pages (stats.metadata_bytes, which the heap counts), type words, and the heap
 * bits at the ends of spans. Rounding to size classes is none of it, but is in the
 * other figure, all memory of the heap an object, as what a type word makes a class
 * larger: 1 KiB and a header take 1152 bytes.
 *
 * "no pointers" is the first heap again, with types that have none: what zeroing a
 * slot and handing it out costs alone, which all layouts share.
 *
 * Allocation is timed in windows of a mebibyte (many types: 16 KiB each), 16 objects
 * at least, which a collection that is not timed empties: memory stays in the cache,
 * as in a program whose objects die young. Scanning is the heap's own figure of the
 * mark phase, all objects in a root array in random order, so that no layout gains by
 * where it puts objects of different types, each pointer one to some object.
 */
#include <stdbool.h>

#include <gcheap.h>

#include "bench.h"

#define ROUNDS_MAX	64u
#define WINDOW_BYTES	(1u << 20)
#define TYPE_BYTES	(16u << 10)	/* of a window, for each type more */
#define ALLOC_BYTES	(64u << 20)	/* in a round and layout */
#define MIB		(1ull << 20)

static const struct {
	enum gcheap_layout layout;
	const char *name;
	bool noscan;
} layouts[] = {
	{ GCHEAP_LAYOUT_SPAN, "SPAN", false },
	{ GCHEAP_LAYOUT_HEADER, "HEADER", false },
	{ GCHEAP_LAYOUT_FOOTER, "FOOTER", false },
	{ GCHEAP_LAYOUT_BITMAP, "BITMAP", false },
	{ GCHEAP_LAYOUT_SPAN, "no pointers", true },
};
#define WITH_NOSCAN	(sizeof(layouts) / sizeof(layouts[0]))
#define LAYOUTS		(WITH_NOSCAN - 1)

/* Elements of @words words; those are pointers whose bit of @mask, repeated, is set. */
static const struct cell {
	const char *name;
	size_t words;
	uint64_t mask;
	size_t mask_words;
	size_t elements;
	size_t types;
} cells[] = {
	{ "64 B", 8, 0x0f, 8, 1, 1 },
	{ "512 B", 64, 0x5, 4, 1, 1 },
	{ "1 KiB", 128, 0x5, 4, 1, 1 },
	{ "8 KiB", 1024, 0x5, 4, 1, 1 },
	{ "3 words x 100", 3, 0x3, 3, 100, 1 },
	{ "3 words x 10", 3, 0x3, 3, 10, 1 },
	{ "3 words, 1 MiB", 3, 0x3, 3, 43690, 1 },
	{ "64 B, 16 types", 8, 0x0f, 8, 1, 16 },
	{ "64 B, 64 types", 8, 0x0f, 8, 1, 64 },
	{ "64 B, 250 types", 8, 0x0f, 8, 1, 250 },
	{ "64 B, 1000 types", 8, 0x0f, 8, 1, 1000 },
	{ "1 KiB, 64 types", 128, 0x5, 4, 1, 64 },
	{ "1 KiB, 1000 types", 128, 0x5, 4, 1, 1000 },
};
#define CELLS	(sizeof(cells) / sizeof(cells[0]))

#define WORDS_MAX	1024u
#define TYPES_MAX	1000u

/* A heap of a layout, and the rounds of what is being measured. */
static struct {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	gcheap_type types[TYPES_MAX];
	double ns[ROUNDS_MAX];
} heaps[WITH_NOSCAN];

/* What was measured in a cell, an object, by layout. */
static struct {
	double metadata[LAYOUTS];	/* bytes */
	double share[LAYOUTS];		/* metadata in percent of the heap's pages in use */
	double memory[LAYOUTS];
	double alloc_ns[WITH_NOSCAN];
	double scan_ns[LAYOUTS];
} result;

/* Types of a cell differ in which words are pointers, as far as there are words. */
static gcheap_type type_make(struct gcheap *heap, const struct cell *cell, size_t number,
			     bool noscan)
{
	static uint8_t mask[WORDS_MAX / 8 + 1];
	struct gcheap_type_desc desc = {
		.name = "metadata", .size = cell->words * 8, .align = 8, .ptr_mask = mask,
	};
	gcheap_type type;
	size_t word;

	memset(mask, 0, sizeof(mask));
	for (word = 0; word < cell->words; word++) {
		uint64_t bit = cell->mask >> word % cell->mask_words & 1;

		if (number && word < 10)
			bit = (number >> word & 1) ^ bit;
		if (!bit)
			continue;
		mask[word / 8] |= (uint8_t)(1u << word % 8);
		desc.ptr_bytes = (word + 1) * 8;
	}
	if (!desc.ptr_bytes) {
		mask[0] = 1;
		desc.ptr_bytes = 8;
	}
	if (noscan) {
		desc.ptr_mask = NULL;
		desc.ptr_bytes = 0;
	}
	if (gcheap_type_register(heap, &desc, &type))
		bench_fail("gcheap_type_register", gcheap_error());
	return type;
}

static void collect(size_t l)
{
	if (gcheap_collect(heaps[l].thread))
		bench_fail("gcheap_collect", gcheap_error());
}

static void heap_open(size_t l, const struct cell *cell)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	size_t i;

	config.layout = layouts[l].layout;
	config.flags = 0;
	config.gc_percent = -1;
	if (gcheap_open(&config, &heaps[l].heap) ||
	    gcheap_thread_attach(heaps[l].heap, &heaps[l].thread))
		bench_fail("gcheap", gcheap_error());
	for (i = 0; i < cell->types; i++)
		heaps[l].types[i] = type_make(heaps[l].heap, cell, i,
					      layouts[l].noscan);
}

static void heap_close(size_t l)
{
	gcheap_thread_detach(heaps[l].thread);
	gcheap_close(heaps[l].heap);
}

static size_t object_bytes(const struct cell *cell)
{
	return cell->words * 8 * cell->elements;
}

/* ---- allocation --------------------------------------------------------------- */

/* Allocates @objects, of all types in turns; keeps them in @live if there is one. */
static void objects_make(size_t l, const struct cell *cell, size_t objects, void **live)
{
	struct gcheap_thread *thread = heaps[l].thread;
	const gcheap_type *types = heaps[l].types;
	size_t elements = cell->elements;
	size_t type = 0, i;

	for (i = 0; i < objects; i++) {
		void *object = gcheap_new_array(thread, types[type], elements);

		if (!object)
			bench_fail("gcheap_new_array", gcheap_error());
		if (live)
			live[i] = object;
		if (++type == cell->types)
			type = 0;
	}
}

/* ns an object, in windows that are empty again before the next. */
static double alloc_round(size_t l, const struct cell *cell)
{
	size_t bytes = object_bytes(cell);
	size_t window = WINDOW_BYTES + (cell->types - 1) * TYPE_BYTES;
	size_t windows = ALLOC_BYTES / window;
	size_t objects = window / bytes > 16 ? window / bytes : 16;
	double ns = 0;
	size_t w;

	for (w = 0; w < windows; w++) {
		double start = bench_ns();

		objects_make(l, cell, objects, NULL);
		ns += bench_ns() - start;
		collect(l);
	}
	return ns / (double)(windows * objects);
}

static void measure_alloc(const struct cell *cell, size_t rounds)
{
	size_t l, round;

	for (l = 0; l < WITH_NOSCAN; l++) {
		heap_open(l, cell);
		alloc_round(l, cell);
	}
	for (round = 0; round < rounds; round++) {
		for (l = 0; l < WITH_NOSCAN; l++) {
			size_t which = (round + l) % WITH_NOSCAN;

			heaps[which].ns[round] = alloc_round(which, cell);
		}
	}
	for (l = 0; l < WITH_NOSCAN; l++) {
		result.alloc_ns[l] = bench_median(heaps[l].ns, rounds);
		heap_close(l);
	}
}

/* ---- metadata and scanning ---------------------------------------------------- */

static struct gcheap_stats stats_of(size_t l)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };

	if (gcheap_stats(heaps[l].heap, &stats))
		bench_fail("gcheap_stats", gcheap_error());
	return stats;
}

static bool has_type_words(size_t l)
{
	return layouts[l].layout == GCHEAP_LAYOUT_HEADER ||
	       layouts[l].layout == GCHEAP_LAYOUT_FOOTER;
}

/* Metadata in the heap's own pages: heap bits, a bit a word, or type words. */
static double inner_metadata(size_t l, size_t bytes, double used, size_t objects)
{
	if (!has_type_words(l))
		return 0;
	if (bytes <= 512)
		return used / 64;
	return bytes <= 32768 - 8 ? 8.0 * (double)objects : 0;
}

/*
 * Fills a new heap, and says how much of it is metadata. The marker's stack, which
 * the first collection makes, is none of an object's; spans that the thread's caches
 * hold, which it returns, are no object's memory.
 */
static void live_make(size_t l, const struct cell *cell, void **live, size_t objects)
{
	double tables = (double)stats_of(l).metadata_bytes;
	struct gcheap_stats stats;
	double used;

	objects_make(l, cell, objects, live);
	tables = (double)stats_of(l).metadata_bytes - tables;
	collect(l);
	stats = stats_of(l);
	used = (double)(stats.mapped_bytes - stats.free_bytes);
	/* Tables are made for an arena at a time: count those of the pages in use. */
	tables *= used / (double)stats.mapped_bytes;
	result.metadata[l] = (tables + inner_metadata(l, object_bytes(cell), used, objects)) /
			     (double)objects;
	result.share[l] = result.metadata[l] * (double)objects / used * 100;
	result.memory[l] = (used + tables) / (double)objects;
}

/* Each pointer of each object leads to some object. */
static void live_link(const struct cell *cell, void **live, size_t objects)
{
	uint64_t random = 1;
	size_t i, w;

	for (i = 0; i < objects; i++) {
		uint64_t *object = live[i];

		for (w = 0; w < cell->words * cell->elements; w++)
			object[w] = (uintptr_t)live[bench_random(&random) % objects];
	}
}

/* The order of roots shall not be that of allocation, which no layout must gain from. */
static void live_shuffle(void **live, size_t objects)
{
	uint64_t random = 2;
	size_t i;

	for (i = objects - 1; i; i--) {
		size_t other = bench_random(&random) % (i + 1);
		void *object = live[i];

		live[i] = live[other];
		live[other] = object;
	}
}

static double scan_round(size_t l, size_t objects)
{
	uint64_t before = stats_of(l).mark_ns_total;
	struct gcheap_stats stats;

	collect(l);
	stats = stats_of(l);
	if (stats.live_objects != objects)
		bench_fail("gcheap_collect", "not as many objects are alive as there are roots");
	return (double)(stats.mark_ns_total - before) / (double)objects;
}

static void measure_scan(const struct cell *cell, size_t live_bytes, size_t rounds)
{
	size_t objects = live_bytes / object_bytes(cell);
	void **live[LAYOUTS];
	size_t l, round;

	for (l = 0; l < LAYOUTS; l++) {
		heap_open(l, cell);
		live[l] = calloc(objects, sizeof(*live[l]));
		if (!live[l] || gcheap_root_add(heaps[l].heap, live[l], objects))
			bench_fail("gcheap_root_add", gcheap_error());
		live_make(l, cell, live[l], objects);
		live_link(cell, live[l], objects);
		live_shuffle(live[l], objects);
		scan_round(l, objects);
	}
	for (round = 0; round < rounds; round++) {
		for (l = 0; l < LAYOUTS; l++) {
			size_t which = (round + l) % LAYOUTS;

			heaps[which].ns[round] = scan_round(which, objects);
		}
	}
	for (l = 0; l < LAYOUTS; l++) {
		result.scan_ns[l] = bench_median(heaps[l].ns, rounds);
		heap_close(l);
		free(live[l]);
	}
}

/* ---- what is printed ---------------------------------------------------------- */

static void print_figures(const char *title, const double *figures, size_t count, int digits)
{
	double best = figures[1];
	size_t l;

	printf("  %-22s", title);
	for (l = 0; l < LAYOUTS; l++) {
		printf(" %10.*f", digits, figures[l]);
		if (l && best > figures[l])
			best = figures[l];
	}
	printf(" %8.2f %8.2f", figures[0] / best, figures[3] / figures[1]);
	if (count > LAYOUTS)
		printf(" %12.*f", digits, figures[LAYOUTS]);
	printf("\n");
}

static void row(const struct cell *cell, size_t live_bytes, size_t rounds)
{
	measure_scan(cell, live_bytes, rounds);
	measure_alloc(cell, rounds);
	printf("%s\n", cell->name);
	print_figures("metadata, bytes", result.metadata, LAYOUTS, 1);
	print_figures("metadata, % of pages", result.share, LAYOUTS, 2);
	print_figures("all memory, bytes", result.memory, LAYOUTS, 1);
	print_figures("allocate, ns", result.alloc_ns, WITH_NOSCAN, 1);
	print_figures("scan, ns", result.scan_ns, LAYOUTS, 1);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	size_t live_bytes = bench_argument(argc, argv, 1, 60) * MIB;
	size_t rounds = bench_argument(argc, argv, 2, 15);
	size_t i;

	if (live_bytes < 4 * MIB || !rounds || rounds > ROUNDS_MAX)
		bench_fail("metadata", "bad arguments");
	/* The environment's layout would be that of all. */
	unsetenv("GCHEAP_LAYOUT");
	printf("metadata: an object; %llu MiB live, %zu rounds; S/best: SPAN to the best of the "
	       "others, B/H: BITMAP to HEADER\n", live_bytes / MIB, rounds);
	printf("  %-22s", "");
	for (i = 0; i < LAYOUTS; i++)
		printf(" %10s", layouts[i].name);
	printf(" %8s %8s %12s\n", "S/best", "B/H", layouts[LAYOUTS].name);
	for (i = 0; i < CELLS; i++) {
		if (argc <= 3 || strstr(cells[i].name, argv[3]))
			row(&cells[i], live_bytes, rounds);
	}
	return 0;
}

// SPDX-License-Identifier: MIT
/* link: */
/*
 * Programs of many types: what mixed spans and own spans cost and save.
 *
 *	many_types [thousand live objects] [rounds]	200 5
 *
 * Each heap has so many types with masks of their own, 32 to 512 bytes long. The
 * objects' types are drawn evenly ("even") or by Zipf's law ("zipf": the k-th type has
 * one in k as many as the first). Live objects hang in lists; a round allocates twice
 * as many as live, in random places of which each one is dropped, then collects.
 * Heaps of SPAN and HEADER take turns; medians of the rounds.
 *
 * "alloc" is ns an object, cycles excluded, by the clock of the whole round less that
 * of its cycles; "mark" ns a live object in the last cycle of a round; "pages" heap
 * pages in use after it, as a multiple of what the live objects' slots take.
 */
#include <gcheap.h>

#include "bench.h"

#define TYPES_MAX	10000u
#define ROUNDS_MAX	32u
#define HEAPS		2u

struct object {
	struct object *next;
	uint64_t payload;
};

static const char *const names[HEAPS] = { "SPAN", "HEADER" };

static struct {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	struct object **live;
	double alloc[ROUNDS_MAX], mark[ROUNDS_MAX], pages[ROUNDS_MAX];
} heaps[HEAPS];

static gcheap_type types[TYPES_MAX];
static double weights[TYPES_MAX];	/* added up */

static void stats_read(size_t h, struct gcheap_stats *stats)
{
	stats->size = sizeof(*stats);
	if (gcheap_stats(heaps[h].heap, stats))
		bench_fail("gcheap", gcheap_error());
}

static void heap_open(size_t h, size_t count, size_t live)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	uint64_t seed = 1;
	size_t i;

	config.layout = h ? GCHEAP_LAYOUT_HEADER : GCHEAP_LAYOUT_SPAN;
	config.flags = 0;
	config.reserve_bytes = (uint64_t)8 << 30;
	heaps[h].live = calloc(live, sizeof(*heaps[h].live));
	if (!heaps[h].live || gcheap_open(&config, &heaps[h].heap) ||
	    gcheap_thread_attach(heaps[h].heap, &heaps[h].thread) ||
	    gcheap_root_add(heaps[h].heap, heaps[h].live, live))
		bench_fail("gcheap", gcheap_error());
	for (i = 0; i < count; i++) {
		/* The first word leads on; others are pointers that stay NULL. */
		uint64_t mask = bench_random(&seed) << 2 | 1;
		size_t words = 4 + bench_random(&seed) % 61;
		struct gcheap_type_desc desc = {
			.name = "type", .size = words * 8, .align = 8, .ptr_bytes = words * 8,
			.ptr_mask = (const uint8_t *)&mask,
		};

		if (words < 64)
			mask &= (1ull << words) - 1;
		if (gcheap_type_register(heaps[h].heap, &desc, &types[i]))
			bench_fail("gcheap", gcheap_error());
	}
}

static size_t draw(uint64_t *seed, size_t count)
{
	double at = (double)(bench_random(seed) >> 11) / (double)(1ull << 53) * weights[count - 1];
	size_t low = 0, high = count - 1;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (weights[middle] > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void allocate(size_t h, const uint16_t *which, const uint32_t *where, size_t n)
{
	struct gcheap_thread *thread = heaps[h].thread;
	struct object **live = heaps[h].live;
	size_t i;

	for (i = 0; i < n; i++) {
		struct object *object = gcheap_new(thread, types[which[i]]);

		if (!object)
			bench_fail("gcheap_new", gcheap_error());
		live[where[i]] = object;
	}
}

static void round_run(size_t h, size_t round, const uint16_t *which, const uint32_t *where,
		      size_t n, size_t live)
{
	struct gcheap_stats before, after;
	double start;
	size_t i;

	stats_read(h, &before);
	start = bench_ns();
	allocate(h, which, where, n);
	start = bench_ns() - start;
	stats_read(h, &after);
	heaps[h].alloc[round] = (start - (double)(after.pause_ns_total - before.pause_ns_total)) /
				(double)n;
	/* Lists of 64, so that marking follows pointers. */
	for (i = 0; i + 1 < live; i++) {
		if (heaps[h].live[i])
			heaps[h].live[i]->next = i % 64 == 63 ? NULL : heaps[h].live[i + 1];
	}
	if (gcheap_collect(heaps[h].thread))
		bench_fail("gcheap_collect", gcheap_error());
	stats_read(h, &before);
	heaps[h].mark[round] = (double)(before.mark_ns_total - after.mark_ns_total) /
			       (double)before.live_objects;
	heaps[h].pages[round] = (double)(before.mapped_bytes - before.free_bytes) /
				(double)before.live_bytes;
}

static void row(const char *name, size_t count, size_t live, size_t rounds)
{
	uint16_t *which = malloc(live * 2 * sizeof(*which));
	uint32_t *where = malloc(live * 2 * sizeof(*where));
	uint64_t seed = 7;
	size_t i, h, round;

	if (!which || !where)
		bench_fail("many_types", "no memory");
	for (i = 0; i < count; i++)
		weights[i] = (i ? weights[i - 1] : 0) + (*name == 'z' ? 1.0 / (double)(i + 1) : 1);
	for (h = 0; h < HEAPS; h++)
		heap_open(h, count, live);
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < live * 2; i++) {
			which[i] = (uint16_t)draw(&seed, count);
			where[i] = (uint32_t)(bench_random(&seed) % live);
		}
		for (h = 0; h < HEAPS; h++)
			round_run(h, round, which, where, live * 2, live);
	}
	printf("%5zu %5s", count, name);
	for (h = 0; h < HEAPS; h++) {
		printf("  %6s %6.1f %6.1f %6.2f", names[h],
		       bench_median(heaps[h].alloc, rounds), bench_median(heaps[h].mark, rounds),
		       bench_median(heaps[h].pages, rounds));
		gcheap_thread_detach(heaps[h].thread);
		gcheap_close(heaps[h].heap);
		free(heaps[h].live);
	}
	printf("\n");
	fflush(stdout);
	free(which);
	free(where);
}

int main(int argc, char **argv)
{
	static const size_t counts[] = { 1, 10, 100, 1000, 10000 };
	size_t live = bench_argument(argc, argv, 1, 200) * 1000;
	size_t rounds = bench_argument(argc, argv, 2, 5);
	size_t i;

	if (!live || !rounds || rounds > ROUNDS_MAX)
		bench_fail("many_types", "bad arguments");
	unsetenv("GCHEAP_LAYOUT");
	printf("many_types: %zu live objects, %zu rounds\n", live, rounds);
	printf("types  drawn          alloc   mark  pages          alloc   mark  pages\n");
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		row("even", counts[i], live, rounds);
		if (counts[i] > 1)
			row("zipf", counts[i], live, rounds);
	}
	return 0;
}

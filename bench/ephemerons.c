// SPDX-License-Identifier: MIT
/*
 * Chains of ephemerons, each of whose values is the next one's key: what a cycle takes for each
 * ephemeron of a chain, and of one twice as long, beside a list of as many objects that lead to each
 * other by pointers. In the two directions that a collector may look at them, directly and with an
 * object between. Then a weak map: setting, finding and removing values of as many keys, at
 * random. Of these there is no peer to measure beside.
 *
 * Arguments: ephemerons of the short chain, rounds.
 */
#include <gcheap.h>

#include "bench.h"

#define ROUNDS_MAX	64

struct node {
	struct node *next;
	uint64_t number;
};

struct world {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	gcheap_type node;
	void *root;
};

static void world_open(struct world *world)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;

	config.flags = 0;
	config.gc_percent = -1;
	config.markers = 1;
	config.reserve_bytes = (uint64_t)8 << 30;
	if (gcheap_open(&config, &world->heap) ||
	    gcheap_thread_attach(world->heap, &world->thread))
		bench_fail("gcheap", gcheap_error());
	world->node = GCHEAP_TYPE(world->heap, struct node, next);
	world->root = NULL;
	if (!world->node || gcheap_root_add(world->heap, &world->root, 1))
		bench_fail("gcheap", gcheap_error());
}

static void world_close(struct world *world)
{
	gcheap_thread_detach(world->thread);
	gcheap_close(world->heap);
}

static struct node *new_node(struct world *world)
{
	struct node *node = gcheap_new(world->thread, world->node);

	if (!node)
		bench_fail("gcheap", gcheap_error());
	return node;
}

static double collect_ns(struct world *world)
{
	double start = bench_ns();

	if (gcheap_collect(world->thread))
		bench_fail("gcheap", gcheap_error());
	return bench_ns() - start;
}

/* ---- chains ----------------------------------------------------------------------- */

enum link { BY_POINTERS, FORWARD, BACKWARD, FORWARD_APART, BACKWARD_APART, LINKS };

static const char *const link_names[LINKS] = {
	"a list, by pointers", "chain", "chain, from its end", "chain, objects between",
	"the same, from its end",
};

static void chain_make(struct world *world, unsigned long length, enum link link)
{
	int is_backward = link == BACKWARD || link == BACKWARD_APART;
	int is_apart = link == FORWARD_APART || link == BACKWARD_APART;
	struct node **keys = malloc((length + 1) * sizeof(*keys));
	unsigned long i;

	if (!keys)
		bench_fail("ephemerons", "out of memory");
	for (i = 0; i <= length; i++)
		keys[i] = new_node(world);
	for (i = 0; i < length; i++) {
		unsigned long at = is_backward ? length - 1 - i : i;
		struct node *value = keys[at + 1];

		if (link == BY_POINTERS) {
			keys[at]->next = value;
			continue;
		}
		if (is_apart) {
			struct node *between = new_node(world);

			between->next = value;
			value = between;
		}
		if (gcheap_ephemeron_add(world->heap, keys[at], value))
			bench_fail("gcheap", gcheap_error());
	}
	world->root = keys[0];
	free(keys);
}

static void chains(unsigned long length, unsigned long rounds)
{
	static double us[LINKS][2][ROUNDS_MAX];
	unsigned long round;
	int link, twice;

	for (round = 0; round < rounds; round++) {
		for (link = 0; link < LINKS; link++) {
			for (twice = 0; twice < 2; twice++) {
				struct world world;

				world_open(&world);
				chain_make(&world, length << twice, link);
				collect_ns(&world);
				us[link][twice][round] = collect_ns(&world) / 1e3;
				world_close(&world);
			}
		}
	}
	printf("a cycle over %lu ephemerons in a chain, and over twice as many, us\n", length);
	printf("  %-24s %10s %10s %6s\n", "", "once", "twice", "ratio");
	for (link = 0; link < LINKS; link++) {
		double once = bench_median(us[link][0], rounds);
		double more = bench_median(us[link][1], rounds);

		printf("  %-24s %10.0f %10.0f %6.2f\n", link_names[link], once, more, more / once);
	}
}

/* ---- weak maps --------------------------------------------------------------------- */

enum part { SET, GET, REMOVE, PARTS };

static void map_round(struct world *world, struct node **keys, unsigned long count,
		      double ns[PARTS])
{
	struct gcheap_weak_map *map;
	double start = bench_ns(), set, found;
	unsigned long i;

	if (gcheap_weak_map_new(world->heap, NULL, &map))
		bench_fail("gcheap", gcheap_error());
	for (i = 0; i < count; i++) {
		if (gcheap_weak_map_set(map, keys[i], keys[i]))
			bench_fail("gcheap", gcheap_error());
	}
	set = bench_ns();
	for (i = 0; i < count; i++) {
		if (gcheap_weak_map_get(world->thread, map, keys[i]) != keys[i])
			bench_fail("gcheap", "a weak map has lost a value");
	}
	found = bench_ns();
	for (i = 0; i < count; i++) {
		if (gcheap_weak_map_remove(map, keys[i]))
			bench_fail("gcheap", gcheap_error());
	}
	ns[SET] = (set - start) / (double)count;
	ns[GET] = (found - set) / (double)count;
	ns[REMOVE] = (bench_ns() - found) / (double)count;
	gcheap_weak_map_free(map);
}

static void maps(unsigned long count, unsigned long rounds)
{
	static double ns[PARTS][ROUNDS_MAX];
	struct node **keys = calloc(count, sizeof(*keys));
	struct world world;
	uint64_t random = 1;
	unsigned long round, i;
	double once[PARTS];
	int part;

	if (!keys)
		bench_fail("ephemerons", "out of memory");
	world_open(&world);
	for (i = 0; i < count; i++)
		keys[i] = new_node(&world);
	for (i = count; i > 1; i--) {
		unsigned long other = bench_random(&random) % i;
		struct node *key = keys[other];

		keys[other] = keys[i - 1];
		keys[i - 1] = key;
	}
	for (round = 0; round < rounds; round++) {
		map_round(&world, keys, count, once);
		for (part = 0; part < PARTS; part++)
			ns[part][round] = once[part];
	}
	printf("a weak map of %lu keys, in random order, ns\n", count);
	printf("  set %.0f, get %.0f, remove %.0f\n", bench_median(ns[SET], rounds),
	       bench_median(ns[GET], rounds), bench_median(ns[REMOVE], rounds));
	world_close(&world);
	free(keys);
}

int main(int argc, char **argv)
{
	unsigned long length = bench_argument(argc, argv, 1, 100000);
	unsigned long rounds = bench_argument(argc, argv, 2, 7);

	if (!length || rounds < 1 || rounds > ROUNDS_MAX)
		bench_fail("ephemerons", "at least one ephemeron, and 1 to 64 rounds");
	chains(length, rounds);
	maps(length, rounds);
	return 0;
}

// SPDX-License-Identifier: MIT
/* link: -ldl */
/*
 * Marking graphs of several shapes, with one marker and with two, beside bdwgc with as many, the
 * installed one and the newest, and Go with as many (peers.h, go/). For each shape and number of
 * markers each collector has a process, and they take turns; medians are compared.
 *
 *	mark_graph [rounds] [shape] [markers] [percent]		7 all 1 and 2 100
 *
 * percent is of the objects that a shape has. bdwgc is asked for GC_MALLOC: it does not know
 * which words are pointers, but finds the same edges, because the rest of a node is zero. Beside
 * figures of two markers stands what a cache line takes from one CPU to the other: where that is
 * 200 ns instead of 30, two markers that share a table lose most of what they gain.
 */
#define _GNU_SOURCE
#include <gcheap.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "bench.h"
#include "distance.h"
#include "peers.h"
#include "turns.h"

/* ---- collectors ----------------------------------------------------------------- */

/**
 * struct collector - what builds and marks a graph
 * @name: for people
 * @open: with so many markers, for nodes of @bytes with @pointers first
 * @node: one of these
 * @leaf: an object of 16 bytes without pointers
 * @array: of @n pointers
 * @root: what keeps the graph
 * @mark: collects; returns what marking took, ns, if it found @expected objects of @bytes
 */
struct collector {
	const char *name;
	void (*open)(unsigned int markers, size_t bytes, size_t pointers);
	void *(*node)(void);
	void *(*leaf)(void);
	void *(*array)(size_t n);
	void **root;
	double (*mark)(size_t expected);
};

static size_t node_bytes;

static void *must(void *object)
{
	if (!object)
		bench_fail("allocation", "out of memory");
	return object;
}

static struct gcheap *heap;
static struct gcheap_thread *thread;
static gcheap_type node_type, pointer_type;
static void *our_root;

static void our_open(unsigned int markers, size_t bytes, size_t pointers)
{
	static const uint8_t all[] = { 0xff, 0xff, 0xff, 0xff };
	uint8_t mask[sizeof(all)] = { 0 };
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct gcheap_type_desc desc = {
		.name = "node", .size = bytes, .align = 8, .ptr_bytes = 8 * pointers,
		.ptr_mask = mask,
	};
	struct gcheap_type_desc pointer = {
		.name = "pointer", .size = 8, .align = 8, .ptr_bytes = 8, .ptr_mask = all,
	};
	size_t i;

	for (i = 0; i < pointers; i++)
		mask[i / 8] |= (uint8_t)(1u << i % 8);
	pointer.ptr_mask = (const uint8_t []) { 1 };
	/* No stack scan: the count of live objects is then exact. */
	config.flags = 0;
	config.gc_percent = -1;
	config.markers = markers;
	config.backend = GCHEAP_BACKEND_LOCAL;
	if (gcheap_open(&config, &heap) || gcheap_thread_attach(heap, &thread) ||
	    gcheap_type_register(heap, &desc, &node_type) ||
	    gcheap_type_register(heap, &pointer, &pointer_type) ||
	    gcheap_root_add(heap, &our_root, 1))
		bench_fail("gcheap", gcheap_error());
}

static void *our_node(void)
{
	return must(gcheap_new(thread, node_type));
}

static void *our_leaf(void)
{
	return must(gcheap_new_leaf(thread, 16));
}

static void *our_array(size_t n)
{
	return must(gcheap_new_array(thread, pointer_type, n));
}

static double our_mark(size_t expected)
{
	struct gcheap_stats before = { .size = sizeof(before) };
	struct gcheap_stats after = { .size = sizeof(after) };

	gcheap_stats(heap, &before);
	if (gcheap_collect(thread) || gcheap_stats(heap, &after))
		bench_fail("gcheap", gcheap_error());
	if (after.live_objects != expected)
		bench_fail("gcheap", "the cycle did not find what can be reached");
	return (double)(after.mark_ns_total - before.mark_ns_total);
}

static struct bdwgc gc;
static void *their_root;
static double their_began, their_ns;

static void their_event(GC_EventType event)
{
	if (event == GC_EVENT_MARK_START)
		their_began = bench_ns();
	else if (event == GC_EVENT_MARK_END)
		their_ns = bench_ns() - their_began;
}

static void their_open_library(const char *library, unsigned int markers, size_t bytes)
{
	node_bytes = bytes;
	gc = bdwgc_open(library, markers);
	gc.disable();
	gc.set_on_collection_event(their_event);
}

static void their_open(unsigned int markers, size_t bytes, size_t pointers)
{
	(void)pointers;
	their_open_library(NULL, markers, bytes);
}

static void their_open_newest(unsigned int markers, size_t bytes, size_t pointers)
{
	(void)pointers;
	their_open_library(newest_bdwgc(), markers, bytes);
}

static void *their_node(void)
{
	return must(gc.malloc(node_bytes));
}

static void *their_leaf(void)
{
	return must(gc.malloc_atomic(16));
}

static void *their_array(size_t n)
{
	return must(gc.malloc(n * sizeof(void *)));
}

static double their_mark(size_t expected)
{
	if (gc.is_disabled())
		gc.enable();
	gc.gcollect();
	/* In use after a collection: what it found, and blocks of its own. */
	if (gc.get_heap_size() - gc.get_free_bytes() < expected * 16)
		bench_fail("bdwgc", "the cycle did not find what can be reached");
	return their_ns;
}

enum { OURS, THEIRS, THEIRS_NEWEST, GO, COLLECTORS };

/* Go is a program of its own. */
static const struct collector collectors[COLLECTORS] = {
	{ "gcheap", our_open, our_node, our_leaf, our_array, &our_root, our_mark },
	{ "bdwgc", their_open, their_node, their_leaf, their_array, &their_root, their_mark },
	{ "bdwgc*", their_open_newest, their_node, their_leaf, their_array, &their_root,
	  their_mark },
	{ .name = "Go*" },
};

static char go_program[PEERS_PATH];

static int is_here(unsigned int which)
{
	return which == THEIRS_NEWEST ? newest_bdwgc() != NULL :
	       which == GO ? !access(go_program, X_OK) : 1;
}

/* ---- shapes -------------------------------------------------------------------------- */

/**
 * struct shape - a graph
 * @name: as the command line takes it
 * @words: the same for people
 * @n: its objects
 * @bytes: of a node
 * @pointers: in a node
 * @goals: of gcheap's time beside bdwgc's, by markers; 0: none
 * @build: makes it, and the collector's root leads to it; returns how many objects there are
 */
struct shape {
	const char *name;
	const char *words;
	size_t n;
	size_t bytes;
	size_t pointers;
	double goals[3];
	size_t (*build)(const struct collector *collector, const struct shape *shape, size_t n);
};

/* How many nodes can be reached from node 0: what a collection must find. */
static size_t reachable(const uint32_t *edges, size_t n, size_t pointers)
{
	unsigned char *seen = must(calloc(n, 1));
	uint32_t *queue = must(malloc(n * sizeof(*queue)));
	size_t head = 0, tail = 1, e;

	seen[0] = 1;
	queue[0] = 0;
	while (head < tail) {
		const uint32_t *next = edges + queue[head++] * pointers;

		for (e = 0; e < pointers; e++) {
			if (!seen[next[e]]) {
				seen[next[e]] = 1;
				queue[tail++] = next[e];
			}
		}
	}
	free(seen);
	free(queue);
	return tail;
}

static size_t build_random(const struct collector *collector, const struct shape *shape, size_t n)
{
	uint32_t *edges = must(malloc(n * shape->pointers * sizeof(*edges)));
	void ***all = must(malloc(n * sizeof(*all)));
	uint64_t random = 0x9e3779b97f4a7c15ull;
	size_t i, count;

	for (i = 0; i < n * shape->pointers; i++)
		edges[i] = (uint32_t)(bench_random(&random) % n);
	for (i = 0; i < n; i++)
		all[i] = collector->node();
	for (i = 0; i < n * shape->pointers; i++)
		all[i / shape->pointers][i % shape->pointers] = all[edges[i]];
	*collector->root = all[0];
	count = reachable(edges, n, shape->pointers);
	free(edges);
	free(all);
	return count;
}

static size_t build_order(const struct collector *collector, const struct shape *shape, size_t n)
{
	void ***all = must(malloc(n * sizeof(*all)));
	size_t i, e;

	for (i = 0; i < n; i++)
		all[i] = collector->node();
	for (i = 0; i < n; i++) {
		for (e = 0; e < shape->pointers; e++) {
			size_t child = i * shape->pointers + 1 + e;

			all[i][e] = child < n ? all[child] : NULL;
		}
	}
	*collector->root = all[0];
	free(all);
	return n;
}

static void **tree(const struct collector *collector, unsigned int depth)
{
	void **node = collector->node();

	if (depth) {
		node[0] = tree(collector, depth - 1);
		node[1] = tree(collector, depth - 1);
	}
	return node;
}

static size_t build_tree(const struct collector *collector, const struct shape *shape, size_t n)
{
	unsigned int depth = 0;

	(void)shape;
	while ((size_t)4 << depth <= n + 1)
		depth++;
	*collector->root = tree(collector, depth);
	return ((size_t)2 << depth) - 1;
}

static size_t build_list(const struct collector *collector, const struct shape *shape, size_t n)
{
	size_t i;

	(void)shape;
	for (i = 0; i < n; i++) {
		void **cell = collector->node();

		cell[0] = *collector->root;
		*collector->root = cell;
	}
	return n;
}

static size_t build_array(const struct collector *collector, const struct shape *shape, size_t n)
{
	void **array = collector->array(n);
	size_t i;

	(void)shape;
	*collector->root = array;
	for (i = 0; i < n; i++)
		array[i] = collector->leaf();
	return n + 1;
}

static const struct shape shapes[] = {
	{ "random", "64 bytes, 4 random pointers", 5000000, 64, 4, { 0, 0.15, 0.11 },
	  build_random },
	{ "order", "64 bytes, a tree in order of allocation", 5000000, 64, 4, { 0, 0, 0.55 },
	  build_order },
	{ "kib", "1 KiB, an eighth random pointers", 100000, 1024, 16, { 0, 0.10, 0.10 },
	  build_random },
	{ "tree", "binary tree, 24 bytes", (1u << 23) - 1, 24, 2, { 0 }, build_tree },
	{ "list", "list, 16 bytes", 10000000, 16, 1, { 0 }, build_list },
	{ "array", "array of pointers to 16-byte leaves", 32u << 20, 64, 1, { 0, 0.15, 0.15 },
	  build_array },
};

/* ---- rounds --------------------------------------------------------------------------- */

static void serve_go(const struct turn *turn, const struct shape *shape, unsigned int markers,
		     size_t n)
{
	char words[2][32];

	snprintf(words[0], sizeof(words[0]), "%zu", n);
	snprintf(words[1], sizeof(words[1]), "%u", markers);
	dup2(turn->from, STDIN_FILENO);
	dup2(turn->to, STDOUT_FILENO);
	execl(go_program, go_program, "graph", shape->name, words[0], words[1], (char *)NULL);
	_exit(1);
}

/* The process of a collector: says how many objects there are, and marks when it is asked. */
static void serve(const struct turn *turn, const struct collector *collector,
		  const struct shape *shape, unsigned int markers, size_t n)
{
	uint64_t count, request;

	if (!collector->open)
		serve_go(turn, shape, markers, n);
	collector->open(markers, shape->bytes, shape->pointers);
	count = shape->build(collector, shape, n);
	/* Its threads are made. */
	collector->mark(count);
	turn_send(turn, &count, sizeof(count));
	while (turn_receive(turn, &request, sizeof(request))) {
		double ns = collector->mark(count);

		turn_send(turn, &ns, sizeof(ns));
	}
	if (thread) {
		gcheap_thread_detach(thread);
		gcheap_close(heap);
	}
	_exit(0);
}

static void measure(const struct shape *shape, unsigned int markers, size_t n, size_t rounds)
{
	struct turn turns[COLLECTORS];
	double *ns[COLLECTORS], *ratios[COLLECTORS];
	uint64_t counts[COLLECTORS] = { 0 };
	unsigned int c;
	size_t i;

	for (c = 0; c < COLLECTORS; c++) {
		if (!is_here(c))
			continue;
		ns[c] = must(calloc(rounds, sizeof(**ns)));
		ratios[c] = must(calloc(rounds, sizeof(**ratios)));
		if (turn_begin(&turns[c]))
			serve(&turns[c], &collectors[c], shape, markers, n);
		if (!turn_receive(&turns[c], &counts[c], sizeof(counts[c])))
			bench_fail(collectors[c].name, "did not build its graph");
	}
	if (counts[OURS] != counts[THEIRS])
		bench_fail(shape->name, "the graphs differ");
	for (i = 0; i < rounds; i++) {
		for (c = 0; c < COLLECTORS; c++) {
			if (!is_here(c))
				continue;
			turn_ask(&turns[c], &i, sizeof(i), &ns[c][i], sizeof(ns[c][i]));
			ratios[c][i] = ns[OURS][i] / ns[c][i];
		}
	}
	printf("%-7s %9llu %8u", shape->name, (unsigned long long)counts[OURS], markers);
	for (c = 0; c < COLLECTORS; c++) {
		if (is_here(c))
			printf(" %9.1f", bench_median(ns[c], rounds) / 1e6);
	}
	for (c = THEIRS; c < COLLECTORS; c++) {
		if (is_here(c))
			printf(" %8.3f", bench_median(ratios[c], rounds));
	}
	if (markers < 3 && shape->goals[markers] > 0)
		printf("  %.2f", shape->goals[markers]);
	else
		printf("     -");
	printf("  %9.1f %9.1f", ns[OURS][0] / 1e6, ns[THEIRS][0] / 1e6);
	if (markers > 1)
		printf("  %.0f ns", distance());
	printf("  %s\n", shape->words);
	fflush(stdout);
	/* As turn_end() wants it. */
	for (c = COLLECTORS; c--;) {
		if (!is_here(c))
			continue;
		turn_end(&turns[c]);
		free(ns[c]);
		free(ratios[c]);
	}
}

int main(int argc, char **argv)
{
	size_t rounds = bench_argument(argc, argv, 1, 7);
	const char *name = argc > 2 ? argv[2] : "all";
	unsigned int only = (unsigned int)bench_argument(argc, argv, 3, 0);
	size_t percent = bench_argument(argc, argv, 4, 100);
	unsigned int markers, c;
	size_t i;

	peers_begin(argv);
	peers_beside(go_program, "go-peer");
	if (!rounds || !percent || percent > 100)
		bench_fail("mark_graph", "bad arguments");
	printf("mark_graph: ms, medians of %zu rounds; the ratios' own median; CPUs apart one way\n",
	       rounds);
	peers_print();
	printf("%-7s %9s %8s", "shape", "objects", "markers");
	for (c = 0; c < COLLECTORS; c++) {
		if (is_here(c))
			printf(" %9s", collectors[c].name);
	}
	for (c = THEIRS; c < COLLECTORS; c++) {
		if (is_here(c))
			printf(" / %-6s", collectors[c].name);
	}
	printf("  %4s  %9s %9s\n", "goal", "least", "bdwgc's");
	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (strcmp(name, "all") && strcmp(name, shapes[i].name))
			continue;
		for (markers = only ? only : 1; markers <= (only ? only : 2); markers++)
			measure(&shapes[i], markers, shapes[i].n / 100 * percent, rounds);
	}
	return 0;
}

// SPDX-License-Identifier: MIT
/* link: -lgc */
/*
 * Marking a random graph: nodes of 64 bytes with 4 pointers to random nodes, one
 * of them the root. gcheap's marker and bdwgc's, one marker thread each, take
 * turns in one process; the medians are compared.
 *
 *	mark_graph [nodes] [rounds]		5000000 7
 *
 * bdwgc is asked for GC_MALLOC: it does not know which words are pointers, but
 * finds the same edges, because the rest of a node is zero.
 */
#define GC_THREADS
#include <gc/gc.h>
#include <gcheap.h>

#include "bench.h"

#define EDGES	4

struct node {
	struct node *edges[EDGES];
	uint64_t payload[4];
};

_Static_assert(sizeof(struct node) == 64, "the goal is about 64-byte nodes");

/* ---- the graph -------------------------------------------------------------- */

static uint32_t *graph_make(size_t nodes)
{
	uint32_t *edges = malloc(nodes * EDGES * sizeof(*edges));
	uint64_t random = 0x9e3779b97f4a7c15ull;
	size_t i;

	if (!edges)
		bench_fail("graph", "out of memory");
	for (i = 0; i < nodes * EDGES; i++)
		edges[i] = (uint32_t)(bench_random(&random) % nodes);
	return edges;
}

/* How many nodes can be reached from node 0: what a collection must find. */
static size_t graph_reachable(const uint32_t *edges, size_t nodes)
{
	unsigned char *seen = calloc(nodes, 1);
	uint32_t *queue = malloc(nodes * sizeof(*queue));
	size_t head = 0, tail = 0;
	int e;

	if (!seen || !queue)
		bench_fail("graph", "out of memory");
	seen[0] = 1;
	queue[tail++] = 0;
	while (head < tail) {
		uint32_t node = queue[head++];

		for (e = 0; e < EDGES; e++) {
			uint32_t next = edges[(size_t)node * EDGES + (size_t)e];

			if (!seen[next]) {
				seen[next] = 1;
				queue[tail++] = next;
			}
		}
	}
	free(seen);
	free(queue);
	return tail;
}

static void graph_link(struct node **all, const uint32_t *edges, size_t nodes)
{
	size_t i;
	int e;

	for (i = 0; i < nodes; i++) {
		for (e = 0; e < EDGES; e++)
			all[i]->edges[e] = all[edges[i * EDGES + (size_t)e]];
	}
}

/* ---- gcheap ----------------------------------------------------------------- */

static struct gcheap *heap;
static struct gcheap_thread *thread;
static struct node *gcheap_graph_root;

static void gcheap_build(struct node **all, const uint32_t *edges, size_t nodes)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	gcheap_type type;
	size_t i;

	/* No stack scan: the count of live objects is then exact. */
	config.flags = 0;
	config.gc_percent = -1;
	config.markers = 1;
	config.backend = GCHEAP_BACKEND_LOCAL;
	if (gcheap_open(&config, &heap) || gcheap_thread_attach(heap, &thread))
		bench_fail("gcheap", gcheap_error());
	type = GCHEAP_TYPE(heap, struct node, edges);
	if (!type || gcheap_root_add(heap, &gcheap_graph_root, 1))
		bench_fail("gcheap", gcheap_error());
	for (i = 0; i < nodes; i++) {
		all[i] = gcheap_new(thread, type);
		if (!all[i])
			bench_fail("gcheap", gcheap_error());
	}
	graph_link(all, edges, nodes);
	gcheap_graph_root = all[0];
}

static double gcheap_mark_ns(size_t expected)
{
	struct gcheap_stats before = { .size = sizeof(before) };
	struct gcheap_stats after = { .size = sizeof(after) };

	gcheap_stats(heap, &before);
	if (gcheap_collect(thread) || gcheap_stats(heap, &after))
		bench_fail("gcheap", gcheap_error());
	if (after.live_objects != expected)
		bench_fail("gcheap", "the cycle did not find the reachable nodes");
	return (double)(after.mark_ns_total - before.mark_ns_total);
}

/* ---- bdwgc ------------------------------------------------------------------ */

static struct node *volatile bdwgc_graph_root;
static double bdwgc_started, bdwgc_marked;

static void bdwgc_event(GC_EventType event)
{
	if (event == GC_EVENT_MARK_START)
		bdwgc_started = bench_ns();
	else if (event == GC_EVENT_MARK_END)
		bdwgc_marked = bench_ns() - bdwgc_started;
}

static void bdwgc_build(struct node **all, const uint32_t *edges, size_t nodes)
{
	size_t i;

	GC_set_markers_count(1);
	GC_INIT();
	GC_disable();
	for (i = 0; i < nodes; i++) {
		all[i] = GC_MALLOC(sizeof(struct node));
		if (!all[i])
			bench_fail("bdwgc", "out of memory");
	}
	graph_link(all, edges, nodes);
	bdwgc_graph_root = all[0];
	GC_set_on_collection_event(bdwgc_event);
	GC_enable();
}

static double bdwgc_mark_ns(size_t expected)
{
	GC_gcollect();
	/* In use after a collection: what it found, and blocks of its own. */
	if (GC_get_heap_size() - GC_get_free_bytes() < expected * sizeof(struct node))
		bench_fail("bdwgc", "the cycle did not find the reachable nodes");
	return bdwgc_marked;
}

int main(int argc, char **argv)
{
	size_t nodes = bench_argument(argc, argv, 1, 5000000);
	size_t rounds = bench_argument(argc, argv, 2, 7);
	double *ours = calloc(rounds, sizeof(*ours));
	double *theirs = calloc(rounds, sizeof(*theirs));
	struct node **all = malloc(nodes * sizeof(*all));
	double our_median, their_median;
	uint32_t *edges;
	size_t reachable, i;

	if (!nodes || nodes > UINT32_MAX || !rounds || !ours || !theirs || !all)
		bench_fail("mark_graph", "bad arguments, or out of memory");
	edges = graph_make(nodes);
	reachable = graph_reachable(edges, nodes);
	/* Their collector may look at @all while it is on the stack's end only. */
	bdwgc_build(all, edges, nodes);
	gcheap_build(all, edges, nodes);
	free(edges);
	free(all);

	printf("mark_graph: %zu nodes of 64 bytes, %zu reachable, one marker, ms\n", nodes,
	       reachable);
	printf("%8s %10s %10s %8s\n", "round", "gcheap", "bdwgc", "ratio");
	for (i = 0; i < rounds; i++) {
		ours[i] = gcheap_mark_ns(reachable);
		theirs[i] = bdwgc_mark_ns(reachable);
		printf("%8zu %10.1f %10.1f %8.3f\n", i + 1, ours[i] / 1e6, theirs[i] / 1e6,
		       ours[i] / theirs[i]);
	}
	our_median = bench_median(ours, rounds);
	their_median = bench_median(theirs, rounds);
	printf("%8s %10.1f %10.1f %8.3f  (goal: 0.25)\n", "median", our_median / 1e6,
	       their_median / 1e6, our_median / their_median);
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	free(ours);
	free(theirs);
	return 0;
}

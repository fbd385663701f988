// SPDX-License-Identifier: MIT
/* A list in a garbage-collected heap: cc quickstart.c $(pkg-config --cflags --libs gcheap) */
#include <gcheap.h>
#include <stdio.h>

struct node { struct node *next; long number; };

static int fail(void)
{
	fprintf(stderr, "quickstart: %s\n", gcheap_error());
	return 1;
}

int main(void)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };
	struct node *node, *list = NULL;
	struct gcheap_thread *thread;
	struct gcheap *heap;
	gcheap_type type;

	if (gcheap_open(NULL, &heap) || gcheap_thread_attach(heap, &thread))
		return fail();
	type = GCHEAP_TYPE(heap, struct node, next);	/* which members are pointers */
	for (long i = 0; i < 1000000; i++) {
		node = type ? gcheap_new(thread, type) : NULL;	/* zeroed */
		if (!node)
			return fail();
		node->number = i;
		node->next = i % 1000 ? list : NULL;	/* or all before is garbage */
		list = node;	/* what a local variable leads to is alive */
	}
	if (gcheap_collect(thread) || gcheap_stats(heap, &stats))
		return fail();
	printf("%ju objects allocated, %ju alive, the newest is number %ld\n",
	       (uintmax_t)stats.allocated_objects, (uintmax_t)stats.live_objects, list->number);
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	return 0;
}

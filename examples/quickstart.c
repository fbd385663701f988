// SPDX-License-Identifier: MIT
/* A list in a garbage-collected heap: cc quickstart.c $(pkg-config --cflags --libs gcheap) */
#include <gcheap.h>
#include <stdio.h>

struct node {
	struct node *next;
	long number;
};

int main(void)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };
	struct gcheap_thread *thread = NULL;
	struct gcheap *heap = NULL;
	struct node *node, *list = NULL;
	gcheap_type type = 0;

	if (!gcheap_open(NULL, &heap) && !gcheap_thread_attach(heap, &thread))
		type = GCHEAP_TYPE(heap, struct node, next);	/* which members are pointers */
	for (long i = 0; type && i < 1000000; i++) {
		node = gcheap_new(thread, type);	/* zeroed */
		if (node) {
			node->number = i;
			node->next = i % 1000 ? list : NULL;	/* or all before is garbage */
		}
		list = node;	/* what a variable leads to is alive */
		if (!node)
			break;
	}
	if (!list || gcheap_collect(thread) || gcheap_stats(heap, &stats))
		fprintf(stderr, "quickstart: %s\n", gcheap_error());
	else
		printf("%llu objects allocated, %llu alive, the newest is number %ld\n",
		       (unsigned long long)stats.allocated_objects,
		       (unsigned long long)stats.live_objects, list->number);
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	return !list;
}

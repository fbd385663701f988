// SPDX-License-Identifier: MIT
/* Lists in a garbage-collected heap: cc quickstart.c $(pkg-config --cflags --libs gcheap) */
#include <gcheap.h>
#include <stdio.h>

struct node {
	struct node *next;
	long number;
};

int main(void)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };
	struct gcheap *heap = NULL;
	struct gcheap_thread *thread = NULL;
	struct node *list = NULL, *node;
	gcheap_type type;
	int status = 1;

	if (gcheap_open(NULL, &heap) || gcheap_thread_attach(heap, &thread))
		goto out;
	type = GCHEAP_TYPE(heap, struct node, next);	/* its members that are pointers */
	for (long i = 0; i < 1000000; i++) {
		node = gcheap_new(thread, type);
		if (!node)
			goto out;
		node->number = i;
		if (i % 1000)	/* else it begins a new list, and the last one is garbage */
			gcheap_store(thread, &node->next, list);
		list = node;	/* found on the stack: no need to tell the collector */
	}
	if (gcheap_collect(thread) || gcheap_stats(heap, &stats))
		goto out;
	printf("%zu objects allocated, %zu alive, the newest is number %ld\n",
	       (size_t)stats.allocated_objects, (size_t)stats.live_objects, list->number);
	status = 0;
out:
	if (status)
		fprintf(stderr, "quickstart: %s\n", gcheap_error());
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	return status;
}

// SPDX-License-Identifier: MIT
/*
 * Heaps with several markers.
 */
#include "markers.h"

#include <unistd.h>

#define HANG_SECONDS	300u

int markers_hang_begins(void **state)
{
	(void)state;
	alarm(HANG_SECONDS);
	return 0;
}

int markers_hang_ends(void **state)
{
	alarm(0);
	return variables_restore(state);
}

void markers_open(struct fixture *f, enum gcheap_layout layout, uint32_t markers)
{
	struct gcheap_config config = fixture_config();

	config.layout = layout;
	config.gc_percent = -1;
	config.markers = markers;
	fixture_open_with(f, &config);
}

void *markers_new(struct fixture *f, gcheap_type type, size_t n)
{
	void *object = gcheap_new_array(f->thread, type, n);

	if (!object)
		fail_msg("gcheap_new_array: %s", gcheap_error());
	return object;
}

void *markers_leaf(struct fixture *f, size_t bytes)
{
	void *object = gcheap_new_leaf(f->thread, bytes);

	if (!object)
		fail_msg("gcheap_new_leaf: %s", gcheap_error());
	return object;
}

void **markers_tree(struct fixture *f, gcheap_type type, unsigned int depth)
{
	void **node = markers_new(f, type, 1);

	if (depth) {
		node[0] = markers_tree(f, type, depth - 1);
		node[1] = markers_tree(f, type, depth - 1);
	}
	return node;
}

void **markers_list(struct fixture *f, size_t bytes, size_t length)
{
	gcheap_type type = type_with_mask(f->heap, bytes, 8, 1);
	void **head = NULL;

	while (length--) {
		void **cell = markers_new(f, type, 1);

		cell[0] = head;
		head = cell;
	}
	return head;
}

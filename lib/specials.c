// SPDX-License-Identifier: MIT
/*
 * Specials of all kinds together, when their objects go.
 */
#include "specials.h"

#include <errno.h>

#include "error.h"
#include "library.h"
#include "owned.h"

static int free_locked(struct gcheap *heap, uint64_t first, const void *obj)
{
	struct special *special = special_find(heap, first | SPECIAL_PIN);

	if (special)
		return error_set(-EBUSY, "%p is pinned: gcheap_unpin() it before it is freed", obj);
	while ((special = special_next(heap, first, SPECIAL_END(first))))
		special_remove(heap, special);
	return 0;
}

int specials_free(struct gcheap *heap, const struct owned *owned, const void *obj)
{
	int error;

	if (!special_span_has_any(heap, owned->slot.page))
		return 0;
	specials_lock(heap);
	error = free_locked(heap, special_key(owned, obj, heap), obj);
	specials_unlock(heap);
	return error;
}

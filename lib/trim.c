// SPDX-License-Identifier: MIT
/*
 * Giving free memory back.
 */
#include <stdint.h>
#include <string.h>

#include "backend/backend.h"
#include "entry.h"
#include "error.h"
#include "library.h"

int gcheap_trim(struct gcheap *heap)
{
	LIBRARY_ENTRY;
	struct gcheap_scavenge request = {
		.size = sizeof(request),
		.max_bytes = UINT64_MAX,
	};
	int error = heap_check(heap);

	if (error)
		return error;
	/* What a cycle before this has found dead is free memory. */
	error = backend_sweep_finish(heap->backend);
	if (!error)
		error = backend_request(heap->backend, GCHEAP_OP_SCAVENGE, &request);
	if (error)
		return error_set(error, "the backend did not give memory back: %s",
				 strerror(-error));
	return 0;
}

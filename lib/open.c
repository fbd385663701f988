// SPDX-License-Identifier: MIT
/*
 * Life of a heap.
 */
#include "library.h"

#include <errno.h>
#include <stdlib.h>

#include "address.h"
#include "backend/backend.h"
#include "clock.h"
#include "config.h"
#include "entry.h"
#include "error.h"
#include "finalizer_thread.h"
#include "guard.h"
#include "heaps.h"
#include "layout/layout.h"
#include "mark.h"
#include "stop_kernel.h"
#include "stop_signal.h"
#include "thread.h"
#include "uncancelled.h"
#include "weak_map.h"
#include "world.h"
#include "wipe_on_fork.h"

#define VALGRIND_RESERVE	((uint64_t)512 << 20)

/* ---- open -------------------------------------------------------------------- */

/* Errors of the device that mean: there is none for this process. */
static bool device_is_absent(int error)
{
	return error == -ENOENT || error == -EACCES || error == -EPERM || error == -ENODEV ||
	       error == -ENXIO;
}

/* What SETUP asks the kernel, or the local backend, for. */
static uint32_t setup_flags(uint32_t flags)
{
	uint32_t setup = 0;

	if (flags & GCHEAP_FAULT_FREED)
		setup |= GCHEAP_SETUP_FAULT_FREED;
	if (flags & GCHEAP_HUGE_PAGES)
		setup |= GCHEAP_SETUP_HUGE_PAGES;
	if (flags & GCHEAP_RECORD_TYPES)
		setup |= GCHEAP_SETUP_RECORD_TYPES;
	return setup;
}

static int backend_open_reserve(const struct gcheap_config *config,
				enum gcheap_layout layout, struct backend **backend)
{
	struct gcheap_setup setup = {
		.size = sizeof(setup),
		.flags = setup_flags(config->flags),
		.layout = layout,
		.reserve_bytes = config->reserve_bytes,
	};
	int error;

	if (config->backend != GCHEAP_BACKEND_LOCAL) {
		error = backend_open_device(&setup, backend);
		if (config->backend == GCHEAP_BACKEND_DEVICE || !device_is_absent(error))
			return error;
	}
	return backend_open_local(&setup, backend);
}

/*
 * The default reserve is more than there may be, by ulimit -v or under valgrind: then it
 * is half of what there is, at most, so that the program has room, too. Valgrind takes
 * three seconds to note down what each GiB of it is.
 */
static uint64_t reserve_default(void)
{
	uint64_t bytes = GCHEAP_RESERVE_DEFAULT;

	if (guard_is_valgrind())
		return VALGRIND_RESERVE;
	if (backend_has_room(bytes + bytes / 16))
		return bytes;
	while (bytes > GCHEAP_RESERVE_MIN && !backend_has_room(2 * bytes))
		bytes /= 2;
	return bytes;
}

static int backend_open(struct settings *settings, enum gcheap_layout layout,
			struct backend **backend)
{
	uint64_t *reserve = &settings->config.reserve_bytes;
	int error;

	error_save();
	if (settings->any_reserve)
		*reserve = reserve_default();
	for (;; *reserve /= 2) {
		error = backend_open_reserve(&settings->config, layout, backend);
		/* Tables take room as well, and an address space without overcommit less. */
		if (error != -ENOMEM || !settings->any_reserve || *reserve <= GCHEAP_RESERVE_MIN)
			break;
	}
	/* That there is no device, or less room, was no failure. */
	if (!error)
		error_restore();
	return error;
}

static void heap_free(struct gcheap *heap)
{
	slot_bits_free(&heap->slot_bits);
	roots_destroy(&heap->roots);
	weak_maps_destroy(&heap->specials);
	specials_destroy(&heap->specials);
	arenas_destroy_tables(&heap->arenas);
	hooks_destroy(&heap->hooks);
	stop_kernel_free(heap);
	/* A thread that had a handle may look for the stack that it is on. */
	if (heap_is_here(heap))
		pthread_mutex_lock(&heap->lock);
	stacks_destroy(&heap->stacks);
	if (heap_is_here(heap))
		pthread_mutex_unlock(&heap->lock);
	heap->is_closed = true;
	__atomic_store_n(heap->owner_mark, 0, __ATOMIC_RELEASE);
	heap_put(heap);
}

/* Who stops threads with conservative stacks, which the signal can stop. */
static int stop_choose(struct gcheap *heap, enum settings_stop stop)
{
	if (stop == STOP_KERNEL && !heap->stop_by_signal)
		return error_set(-EINVAL, "environment: GCHEAP_STOP=kernel: with stop_signal -1 or "
				 "GCHEAP_STOP_SIGNAL=off threads stop at safepoints alone; leave "
				 "out one of the two");
	if (stop == STOP_SIGNAL || !stop_signal_is_used(heap))
		return 0;
	if (!stop_kernel_use(heap) && stop == STOP_KERNEL)
		return error_set(-EOPNOTSUPP, "environment: GCHEAP_STOP=kernel: no module stops "
				 "the threads of this heap: that takes the device, and a kernel that "
				 "lets modules do it; without the variable a signal does");
	return 0;
}

int gcheap_open(const struct gcheap_config *config, struct gcheap **out)
{
	UNCANCELLED;
	LIBRARY_ENTRY;
	static const struct layout *const layouts[] = {
		[GCHEAP_LAYOUT_SPAN] = &layout_span,
		[GCHEAP_LAYOUT_HEADER] = &layout_header,
		[GCHEAP_LAYOUT_FOOTER] = &layout_footer,
		[GCHEAP_LAYOUT_BITMAP] = &layout_bitmap,
	};
	struct settings settings;
	struct gcheap *heap;
	int error;

	if (!out)
		return error_set(-EINVAL, "gcheap_open: heap is NULL");
	error = settings_read(config, &settings);
	if (error)
		return error;

	heap = heap_alloc();
	if (!heap)
		return error_set(-ENOMEM, "out of memory for a heap (or no MADV_WIPEONFORK: Linux "
				 "4.14 or later is needed)");
	specials_init(&heap->specials);
	arenas_init(&heap->arenas);
	heap->layout = layouts[settings.config.layout];
	heap->flags = settings.config.flags;
	heap->trace_gc = settings.trace_gc;
	heap->opened_ns = clock_ns();
	heap->verify_random = heap->opened_ns;
	pacer_init(&heap->pacer, settings.config.gc_percent, settings.config.memory_limit,
		   heap->opened_ns);

	heap->stop_by_signal = settings.config.stop_signal >= 0;
	if (heap->flags & GCHEAP_CONSERVATIVE_STACKS) {
		error = world_choose_signal(settings.config.stop_signal);
		if (error)
			goto free_heap;
	}
	error = backend_open(&settings, heap->layout->uapi, &heap->backend);
	if (error)
		goto free_heap;
	error = stop_choose(heap, settings.stop);
	if (error)
		goto close_backend;
	heap->backend->sweeps_here = !settings.uring;
	view_init(&heap->view, heap->backend);
	heap->view.record_types = heap->flags & GCHEAP_RECORD_TYPES;
	if (settings.guards && guard_is_wanted())
		heap->guard_bytes = GUARD_BYTES;
	error = marker_create(heap, settings.config.markers, settings.kernel, &heap->marker);
	if (error) {
		error_set(error, "out of memory for a marker");
		goto close_backend;
	}
	/* Tools that look for mistakes want to see them all. */
	heap->arenas.is_strict = heap->flags & GCHEAP_ARENA_STRICT || heap->guard_bytes;
	heaps_add(heap);
	*out = heap;
	return 0;

close_backend:
	heap->backend->ops->close(heap->backend, true);
free_heap:
	heap_free(heap);
	return error;
}

void gcheap_close(struct gcheap *heap)
{
	UNCANCELLED;
	LIBRARY_ENTRY;
	if (!heap)
		return;
	if (heap->flags & GCHEAP_FINALIZER_THREAD && heap_is_here(heap)) {
		/* It would wait for itself. */
		if (finalizer_thread_is_self(heap)) {
			errno = -error_set(-EINVAL, "a finalizer that the library's own thread "
					   "runs cannot close the heap");
			return;
		}
		finalizer_thread_end(heap);
	}
	while (heap->world.threads) {
		struct thread *thread = heap->world.threads;

		world_detach(thread);
		thread_free(thread);
	}
	heaps_remove(heap);
	marker_destroy(heap->marker, heap_is_here(heap));
	/* A child of fork() has nothing at these addresses, and nobody knows how many. */
	if (heap->guard_bytes && heap_is_here(heap))
		guard_end(heap);
	heap->backend->ops->close(heap->backend, heap_is_here(heap));
	heap_free(heap);
}

/* ---- what a heap is ---------------------------------------------------------- */

int gcheap_fd(struct gcheap *heap)
{
	return heap ? heap->backend->fd : -1;
}

enum gcheap_backend gcheap_backend(struct gcheap *heap)
{
	return heap ? heap->backend->ops->kind : GCHEAP_BACKEND_AUTO;
}

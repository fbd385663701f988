/* SPDX-License-Identifier: MIT */
/*
 * Backends: where a heap's spans come from. The rest of the library sends them
 * the requests of <linux/gcheap.h> and reads the mapped regions; only the files
 * in this folder know whether a kernel module or a copy of its logic in this
 * process answers.
 */
#ifndef GCHEAP_LIB_BACKEND_H
#define GCHEAP_LIB_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include <gcheap.h>
#include <linux/gcheap.h>

struct backend;
struct ring;

/**
 * struct backend_ops - one kind of backend
 * @kind: which
 * @request: carry out a request; @arg is the struct of @op. 0 or a negative errno.
 *	Any thread may call it
 * @close: end the heap and free the backend; @here is false in a child of fork(),
 *	where the regions are not mapped and other memory may be in their place
 */
struct backend_ops {
	enum gcheap_backend kind;
	int (*request)(struct backend *backend, enum gcheap_op op, void *arg);
	void (*close)(struct backend *backend, bool here);
};

/**
 * struct backend - one open heap of a backend; embedded in each kind's own
 * @ops: its functions
 * @fd: the device's file descriptor, or -1
 * @features: GCHEAP_FEATURE_* of the heap
 * @requests: how many requests were sent
 * @ring: for sweeps in the background; made with the first; NULL: there is none
 * @sweeps_here: no sweep runs in the background, because there is no ring to be had, or
 *	nobody wants it
 * @is_sweep_lazy: the last SWEEP_START has freed nothing
 * @regions: start of each region in this process; NULL: the heap has none
 * @region_bytes: length of each region
 */
struct backend {
	const struct backend_ops *ops;
	int fd;
	uint64_t features;
	uint64_t requests;
	struct ring *ring;
	bool sweeps_here;
	bool is_sweep_lazy;
	void *regions[GCHEAP_REGIONS];
	uint64_t region_bytes[GCHEAP_REGIONS];
};

/**
 * backend_open_device() - open /dev/gcheap
 * @setup: the SETUP request; receives its outputs
 * @backend: receives the backend, its regions mapped
 *
 * Return: 0 or a negative errno, with gcheap_error() set: -ENOENT no module,
 * -EACCES no permission.
 */
int backend_open_device(struct gcheap_setup *setup, struct backend **backend);

/**
 * backend_open_local() - make a heap of this process's memory
 * @setup: the SETUP request; receives its outputs
 * @backend: receives the backend, its regions mapped
 *
 * Return: 0 or a negative errno, with gcheap_error() set.
 */
int backend_open_local(struct gcheap_setup *setup, struct backend **backend);

/**
 * backend_reserve() - find room for a region
 * @bytes: its length
 * @align: of its address; a power of two, a page at least
 *
 * Return: the address of a private mapping without access, or NULL.
 */
void *backend_reserve(uint64_t bytes, uint64_t align);

/* Whether there is room for a region of @bytes. */
bool backend_has_room(uint64_t bytes);

/**
 * backend_drop_memory() - give the memory of private pages back to the system
 * @start: of whole pages that can be written
 * @bytes: their length
 *
 * They read as zeros from then on, whether the process has locked its memory or not.
 */
void backend_drop_memory(void *start, uint64_t bytes);

/* Memory that is written from end to end soon had better be in large pages, if that can be said. */
void backend_prefer_huge_pages(const struct backend *backend, void *start, uint64_t bytes);

/**
 * backend_can_sweep_in_background() - can the next sweep run beside the program?
 * @backend: the heap's
 *
 * Makes a ring if there is none yet. Only for the attached mutator.
 *
 * Return: false: no, or the last one that was started has not ended yet.
 */
bool backend_can_sweep_in_background(struct backend *backend);

/**
 * backend_sweep_in_background() - have a worker do all of the sweep
 * @backend: one that can, after a SWEEP_START that frees nothing
 *
 * It ends with its cycle: MARK_START does what is left.
 *
 * Return: false: it does not run, and no other will.
 */
bool backend_sweep_in_background(struct backend *backend);

/**
 * backend_sweep_finish() - do what a sweep in the background has left
 * @backend: the heap's
 *
 * From then on until the next cycle nothing changes behind the caller's back. Without
 * a sweep in the background nothing is done. Any thread may call it.
 *
 * Return: 0 or a negative errno.
 */
int backend_sweep_finish(struct backend *backend);

/* Ends the ring, and waits for its command; @here as of struct backend_ops.close. */
void backend_ring_end(struct backend *backend, bool here);

static inline int backend_request(struct backend *backend, enum gcheap_op op, void *arg)
{
	__atomic_fetch_add(&backend->requests, 1, __ATOMIC_RELAXED);
	return backend->ops->request(backend, op, arg);
}

#endif /* GCHEAP_LIB_BACKEND_H */

/* SPDX-License-Identifier: MIT */
/*
 * Backends: where a heap's spans come from. The rest of the library sends them
 * the requests of <linux/gcheap.h> and reads the mapped regions; only the files
 * in this folder know whether a kernel module or a copy of its logic in this
 * process answers.
 */
#ifndef GCHEAP_LIB_BACKEND_H
#define GCHEAP_LIB_BACKEND_H

#include <stdint.h>

#include <gcheap.h>
#include <linux/gcheap.h>

struct backend;

/**
 * struct backend_ops - one kind of backend
 * @kind: which
 * @request: carry out a request; @arg is the struct of @op. 0 or a negative errno
 * @close: end the heap and free the backend
 */
struct backend_ops {
	enum gcheap_backend kind;
	int (*request)(struct backend *backend, enum gcheap_op op, void *arg);
	void (*close)(struct backend *backend);
};

/**
 * struct backend - one open heap of a backend; embedded in each kind's own
 * @ops: its functions
 * @fd: the device's file descriptor, or -1
 * @requests: how many requests were sent
 * @regions: start of each region in this process
 * @region_bytes: length of each region
 */
struct backend {
	const struct backend_ops *ops;
	int fd;
	uint64_t requests;
	void *regions[GCHEAP_REGIONS];
	uint64_t region_bytes[GCHEAP_REGIONS];
};

/**
 * backend_open_device(), backend_open_local() - open a heap
 * @setup: the SETUP request
 * @backend: receives the backend, its regions mapped
 *
 * Return: 0 or a negative errno, with gcheap_error() set.
 */
int backend_open_device(struct gcheap_setup *setup, struct backend **backend);
int backend_open_local(struct gcheap_setup *setup, struct backend **backend);

static inline int backend_request(struct backend *backend, enum gcheap_op op, void *arg)
{
	backend->requests++;
	return backend->ops->request(backend, op, arg);
}

#endif /* GCHEAP_LIB_BACKEND_H */

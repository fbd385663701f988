// SPDX-License-Identifier: MIT
/*
 * The device backend: /dev/gcheap, of which each open file is one heap.
 */
#define _GNU_SOURCE
#include "backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../error.h"

#define DEVICE_PATH	"/dev/gcheap"

/* A request by ioctl; an interruption by anything but death is gone on from. */
static int device_ioctl(int fd, enum gcheap_op op, void *arg)
{
	int result;

	do {
		result = ioctl(fd, GCHEAP_IOC(op), arg);
	} while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : 0;
}

static int device_request(struct backend *backend, enum gcheap_op op, void *arg)
{
	return device_ioctl(backend->fd, op, arg);
}

static void device_close(struct backend *backend, bool here)
{
	unsigned int i;

	backend_ring_end(backend, here);
	for (i = 0; here && i < GCHEAP_REGIONS; i++) {
		if (backend->regions[i])
			munmap(backend->regions[i], backend->region_bytes[i]);
	}
	close(backend->fd);
	free(backend);
}

static const struct backend_ops device_ops = {
	.kind = GCHEAP_BACKEND_DEVICE,
	.request = device_request,
	.close = device_close,
};

/* ---- open -------------------------------------------------------------------- */

static int device_open(void)
{
	int fd = open(DEVICE_PATH, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
		return error_set(-ENOENT, "no " DEVICE_PATH ": load the module (modprobe gcheap), "
				 "or use the local backend (GCHEAP_BACKEND=local)");
	case ENXIO:
	case ENODEV:
		return error_set(-errno, "nothing answers at " DEVICE_PATH ": load the module "
				 "(modprobe gcheap)");
	case EACCES:
	case EPERM:
		return error_set(-errno, "no permission to open " DEVICE_PATH ": join the group "
				 "gcheap (usermod -aG gcheap USER) and log in again");
	default:
		return error_set(-errno, "cannot open " DEVICE_PATH ": %s", strerror(errno));
	}
}

static int device_setup(int fd, struct gcheap_setup *setup)
{
	int error = device_ioctl(fd, GCHEAP_OP_SETUP, setup);

	if (error == -ENOTTY || error == -E2BIG || (!error && setup->out_abi != GCHEAP_ABI))
		return error_set(-EPROTONOSUPPORT, "the gcheap module and this libgcheap (%s) are "
				 "of different releases: install them together", gcheap_version());
	if (error == -ENOMEM)
		return error_set(error, "out of kernel memory for a heap");
	if (error)
		return error_set(error, "the gcheap module refused a heap with a reserve of %llu "
				 "bytes, layout %u and flags %#x: %s",
				 (unsigned long long)setup->reserve_bytes, setup->layout,
				 setup->flags, strerror(-error));
	return 0;
}

static int device_map(struct backend *backend, enum gcheap_region region)
{
	uint64_t bytes = backend->region_bytes[region];
	int prot = PROT_READ;
	uint64_t align = 4096;
	void *address, *mapped;
	int error;

	if (!bytes)
		return 0;
	if (region == GCHEAP_REGION_HEAP || region == GCHEAP_REGION_MARKS ||
	    region == GCHEAP_REGION_BITMAP)
		prot |= PROT_WRITE;
	if (region == GCHEAP_REGION_HEAP)
		align = GCHEAP_ARENA_BYTES;
	address = backend_reserve(bytes, align);
	if (!address)
		return error_set(-ENOMEM, "no address space for a region of %llu bytes: raise "
				 "ulimit -v, or set a smaller reserve_bytes",
				 (unsigned long long)bytes);
	mapped = mmap(address, bytes, prot, MAP_SHARED | MAP_FIXED, backend->fd,
		      (off_t)GCHEAP_REGION_OFFSET(region));
	if (mapped == MAP_FAILED) {
		error = -errno;
		munmap(address, bytes);
		return error_set(error, "cannot map region %u of " DEVICE_PATH ": %s", region,
				 strerror(-error));
	}
	backend->regions[region] = mapped;
	return 0;
}

int backend_open_device(struct gcheap_setup *setup, struct backend **out)
{
	struct backend *backend;
	unsigned int region;
	int fd = device_open();
	int error;

	if (fd < 0)
		return fd;
	error = device_setup(fd, setup);
	if (error) {
		close(fd);
		return error;
	}
	backend = calloc(1, sizeof(*backend));
	if (!backend) {
		close(fd);
		return error_set(-ENOMEM, "out of memory for a heap");
	}
	backend->ops = &device_ops;
	backend->fd = fd;
	backend->features = setup->out_features;
	backend->requests = 1;
	memcpy(backend->region_bytes, setup->out_region_bytes, sizeof(backend->region_bytes));
	for (region = 0; region < GCHEAP_REGIONS; region++) {
		error = device_map(backend, region);
		if (error) {
			device_close(backend, true);
			return error;
		}
	}
	*out = backend;
	return 0;
}

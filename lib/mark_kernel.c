// SPDX-License-Identifier: MIT
/*
 * The portable kernel, and the choice of one.
 */
#include "mark_kernel.h"

#include <string.h>

#include "guard.h"

static bool portable_is_here(void)
{
	return true;
}

static GUARD_EXEMPT size_t portable_scan(const uint64_t *words, uint64_t mask, uint64_t base,
					 uint64_t end, uint64_t *edges)
{
	size_t count = 0;
	unsigned int i;

	/* NULL and foreign pointers vanish without a branch. */
	for (i = 0; mask == ~0ull && i < 64; i++) {
		uint64_t edge = words[i] - base;

		edges[count] = edge;
		count += edge < end;
	}
	if (i)
		return count;
	for (; mask; mask &= mask - 1) {
		uint64_t edge = words[__builtin_ctzll(mask)] - base;

		edges[count] = edge;
		count += edge < end;
	}
	return count;
}

static GUARD_EXEMPT void portable_array(struct marker *marker, const uint64_t *words)
{
	struct mark_stretch *stretch = &marker->stretch;
	uint64_t bits = 0;
	unsigned int i;

	for (i = 0; i < 64; i++) {
		uint64_t edge = words[i] - marker->base;
		uint64_t index, granule;

		if (edge >= marker->end)
			continue;
		if (edge >> (GCHEAP_GRANULE_SHIFT + 6) != stretch->number) {
			mark_stretch_set(marker, bits);
			bits = 0;
			mark_stretch_find(marker, edge);
		}
		if (!stretch->is_leaves) {
			marker->edges[marker->edge_count++] = edge;
			continue;
		}
		index = (edge - stretch->first) * stretch->magic >> 32;
		granule = granule_of(stretch->first + index * stretch->slot_bytes);
		/* The waste behind the last slot. */
		if (index >= stretch->slots)
			continue;
		if (granule >> 6 == stretch->number)
			bits |= 1ull << (granule & 63);
		else
			marker->edges[marker->edge_count++] = edge;
	}
	mark_stretch_set(marker, bits);
}

static uint64_t portable_count(uint64_t *marks, const uint64_t *allocs, uint64_t words)
{
	uint64_t count = 0;
	uint64_t i;

	for (i = 0; i < words; i++) {
		marks[i] &= allocs[i];
		count += hweight64(marks[i]);
	}
	return count;
}

const struct mark_kernel mark_kernel_portable = {
	.name = "portable",
	.is_here = portable_is_here,
	.scan = portable_scan,
	.array = portable_array,
	.count = portable_count,
};

/* The best one last. */
static const struct mark_kernel *const kernels[] = {
	&mark_kernel_portable,
#if defined(__x86_64__)
	&mark_kernel_avx2,
	&mark_kernel_avx512,
#endif
};

#define KERNELS	(sizeof(kernels) / sizeof(kernels[0]))

const struct mark_kernel *mark_kernel_named(const char *name)
{
	size_t i;

	for (i = 0; i < KERNELS; i++) {
		if (!strcmp(kernels[i]->name, name))
			return kernels[i];
	}
	return NULL;
}

const struct mark_kernel *mark_kernel_best(void)
{
	size_t i = KERNELS - 1;

	while (!kernels[i]->is_here())
		i--;
	return kernels[i];
}

// SPDX-License-Identifier: MIT
/*
 * Size classes at an alignment.
 *
 * Spans start at heap pages, so that a slot keeps an alignment when the slot size
 * is a multiple of it.
 */
#include "size_class.h"

#include "slots.h"

uint32_t size_class_aligned(uint64_t bytes, uint64_t align)
{
	uint32_t size_class;

	if (bytes > SIZE_CLASS_MAX_BYTES)
		return 0;
	size_class = size_class_of(bytes);
	if (size_class < SIZE_CLASS_MIN)
		size_class = SIZE_CLASS_MIN;
	while (size_class_bytes[size_class] & (align - 1)) {
		if (++size_class == SIZE_CLASSES)
			return 0;
	}
	return size_class;
}

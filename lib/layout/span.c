// SPDX-License-Identifier: MIT
/*
 * The SPAN layout: all slots of a span share one pointer mask (up to 512 bytes)
 * or type (beyond), which the descriptor keeps. Objects are their slots, and
 * allocation writes nothing but zeros.
 */
#include "size_class.h"

static uint32_t span_layout_size_class(const struct gcheap_type_record *type, uint64_t bytes)
{
	return size_class_aligned(bytes, type->align);
}

const struct layout layout_span = {
	.uapi = GCHEAP_UAPI_LAYOUT_SPAN,
	.name = "span",
	.size_class = span_layout_size_class,
	.shared_caches = false,
	.finish = NULL,
};

// SPDX-License-Identifier: MIT
/*
 * The SPAN layout: all slots of a span share one pointer mask (up to 512 bytes)
 * or type (beyond), which the descriptor keeps. Objects are their slots, and
 * allocation writes nothing but zeros.
 *
 * Types of which there are few objects share mixed spans instead (alloc_class.c),
 * which are those of the HEADER layout.
 */
#include "header.h"

const struct layout layout_span = {
	.uapi = GCHEAP_LAYOUT_SPAN,
	.name = "span",
	.own_spans = true,
	.heap_bits = true,
	.word_bytes = header_word_bytes,
	.finish = header_finish,
};

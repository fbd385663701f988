/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The heap's logic, for those who run it: kmod/ and lib/backend/.
 *
 * They call the functions of setup.h, type.h, refill.h, large.h and requests.h for
 * requests. What the logic needs of the world around it, it asks by port.h, which each of
 * the two implements. The other headers are for code that looks into a heap.
 */
#ifndef GCHEAP_CORE_CORE_H
#define GCHEAP_CORE_CORE_H

#include "counters.h"
#include "heap.h"
#include "large.h"
#include "port.h"
#include "refill.h"
#include "requests.h"
#include "scavenge.h"
#include "setup.h"
#include "type.h"

/* For TRACK and debugfs. */
#include "arena.h"
#include "page_heap.h"
#include "reclaim.h"
#include "span.h"

#endif /* GCHEAP_CORE_CORE_H */

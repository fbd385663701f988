// SPDX-License-Identifier: MIT
/*
 * Which release this is.
 */
#include <gcheap.h>

#ifndef GCHEAP_VERSION
#define GCHEAP_VERSION	"0.1.0"
#endif

const char *gcheap_version(void)
{
	return GCHEAP_VERSION;
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The tracepoints of trace.h: they are defined here once, for all who report.
 */
#include "module.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

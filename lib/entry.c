// SPDX-License-Identifier: MIT
/*
 * Whether a thread is in the library.
 */
#include "entry.h"

__thread struct entry_state entry_state __attribute__((tls_model("initial-exec")));

static void leave_nothing(void)
{
}

void (*entry_leave)(void) = leave_nothing;

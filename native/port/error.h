/* SPDX-License-Identifier: Apache-2.0
 *
 * The sentence behind an error code. Used at start-up and in control commands only, never on the packet path.
 * The text is thread-local state of the process: it has to outlive calls that fail before any object exists.
 */
#ifndef SN_PORT_ERROR_H
#define SN_PORT_ERROR_H

#include "sn_base.h"

/* Remembers one sentence (printf style) and returns err, so that `return sn_fail(SN_E_INVAL, "...")` reads well. */
int sn_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The last sentence of this thread; never NULL. (sn_last_error() for Python is declared in abi/40_worker.h.) */
const char *sn_fail_text(void);
/* Appends to the last sentence: the driver's own words. */
void sn_fail_add(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif

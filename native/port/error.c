/* SPDX-License-Identifier: Apache-2.0 */
#include "port/error.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char text[640];

int sn_fail(int err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return err;
}

void sn_fail_add(const char *fmt, ...)
{
	size_t used = strlen(text);
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text + used, sizeof text - used, fmt, ap);
	va_end(ap);
}

const char *sn_fail_text(void) { return text; }

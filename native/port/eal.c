/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_version.h>

#include "port/error.h"
#include "port/port.h"

/* The last line with words in a log text. */
static const char *last_line(char *text)
{
	char *end = text + strlen(text);
	while (end > text && (end[-1] == '\n' || end[-1] == ' '))
		*--end = 0;
	char *nl = strrchr(text, '\n');
	return nl ? nl + 1 : text;
}

enum sn_err sn_port_eal_init(int argc, char **argv)
{
	char *text = NULL;
	size_t size = 0;
	FILE *log = open_memstream(&text, &size);

	/* The driver's words are of interest only if it fails: catch them. */
	if (log)
		rte_openlog_stream(log);
	int rc = rte_eal_init(argc, argv);
	int err = rte_errno;
	rte_openlog_stream(NULL);
	if (log)
		fclose(log);
	if (rc < 0) {
		sn_fail(SN_E_INVAL, "DPDK did not start: %s", rte_strerror(err));
		if (text && *text)
			sn_fail_add(" (%.300s)", last_line(text));
	} else if (text && getenv("SENNIT_EAL_LOG")) {
		fputs(text, stderr);
	}
	free(text);
	rte_log_set_global_level(RTE_LOG_ERR);
	return rc < 0 ? SN_E_INVAL : SN_OK;
}

void sn_port_eal_fini(char *dir, size_t size)
{
	snprintf(dir, size, "%s", rte_eal_get_runtime_dir());
	rte_eal_cleanup();
}

const char *sn_port_eal_version(void) { return rte_version(); }

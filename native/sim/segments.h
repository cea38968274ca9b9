/* SPDX-License-Identifier: Apache-2.0
 *
 * A table of all TCP segments that the hosts sent and received, in the order of time: what a time-sequence picture is
 * drawn from.
 */
#ifndef SN_SIM_SEGMENTS_H
#define SN_SIM_SEGMENTS_H

#include <stdio.h>

#include "sn_base.h"
#include "sn_buf.h"

/* NULL: the file cannot be made. */
FILE *sn_sim_segments_open(const char *path);
/* `side` 0: host A; frames that are no TCP are left out. */
void sn_sim_segments_row(FILE *f, sn_time at, uint32_t side, bool sent, uint32_t path, const struct sn_buf *b);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * A table of a run over time: one row per connection and moment with what reached B, the window and the round trip of
 * A's first subflow, and the queue of the first path.
 */
#ifndef SN_SIM_TRACE_H
#define SN_SIM_TRACE_H

#include <stdio.h>

#include "sn_base.h"

struct sn_sim;

struct sn_sim_trace {
	FILE *file; /* NULL: none */
	sn_time at; /* next row */
};

/* False: the file cannot be made. */
bool sn_sim_trace_open(struct sn_sim *sim);
void sn_sim_trace_row(struct sn_sim *sim);
void sn_sim_trace_close(struct sn_sim *sim);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * The fault plan: what happens to one host besides its frames. A fault lasts until a moment; 0: it is over.
 */
#ifndef SN_SIM_FAULT_H
#define SN_SIM_FAULT_H

#include "sn_base.h"

struct sn_sim;
struct sn_sim_event; /* abi/50_sim.h */

struct sn_sim_plight {
	sn_time pool, forward, frozen, no_read;
	uint32_t pool_share; /* so many of 1000 allocations fail */
};

/* Applies the event whose time has come. */
void sn_sim_fault(struct sn_sim *sim, const struct sn_sim_event *e);
/* The first moment after now when some fault ends. */
sn_time sn_sim_fault_end(const struct sn_sim *sim);

#endif

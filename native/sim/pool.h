/* SPDX-License-Identifier: Apache-2.0
 *
 * Packet buffers of one simulated host. Grows on demand up to a limit; knows how many are out. Under AddressSanitizer
 * every buffer is an allocation of its own, so that a use after free is caught.
 */
#ifndef SN_SIM_POOL_H
#define SN_SIM_POOL_H

#include "sim/fault.h"
#include "sim/rng.h"
#include "sn_buf.h"

enum { SN_SIM_DATA_ROOM = 2176, SN_SIM_POOL_SLAB = 256, SN_SIM_POOL_MAX_SLABS = 1024 };

struct sn_sim_pool {
	struct sn_pool pool;
	struct sn_buf *free;
	uint32_t out; /* buffers not at home */
	uint32_t peak;
	uint32_t bad;   /* buffers freed twice or damaged */
	uint32_t limit; /* buffers that may be out at once */
	const sn_time *now;
	const struct sn_sim_plight *plight; /* says when it is empty; NULL: never */
	struct sn_rng rng;
	uint32_t slabs;
	void *slab[SN_SIM_POOL_MAX_SLABS];
};

void sn_sim_pool_init(struct sn_sim_pool *p, const sn_time *now, const struct sn_sim_plight *plight, uint64_t seed);
void sn_sim_pool_close(struct sn_sim_pool *p);

#endif

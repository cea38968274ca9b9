/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything that is made before the fork and shared by the control process and all workers: one shared mapping, so that
 * it has the same address everywhere and outlives a worker.
 *
 * Between every two workers i and j stand two rings: fwd[i][j] carries frames that landed on i's queue and belong to j,
 * home[j][i] carries those buffers back. A buffer stays its owner's; `lent` names the holder.
 *
 * After a death: the control process raises `epoch` of the dead worker k. Each sibling i notices, takes back everything
 * that k held, empties fwd[i][k] and writes seen[i][k] = epoch. The new process of k reads fwd[i][k] only once that is
 * done. Buffers that k had lent out come home in the usual way; a buffer that k was pushing or popping at the moment of its
 * death stays out (at most one burst).
 */
#ifndef SN_LCORE_RUNTIME_H
#define SN_LCORE_RUNTIME_H

#include "engine/engine.h"
#include "lcore/worker.h"
#include "port/port.h"
#include "shm/ptr_ring.h"

enum { SN_FWD_ENTRIES = 4096 };

/* One worker's shared part. */
struct sn_lcore {
	struct sn_cnc cnc SN_ALIGNED;
	uint32_t sleeps SN_ALIGNED;               /* door flag: siblings that forward something ring `door` */
	uint32_t epoch;                           /* number of deaths */
	bool engine_ready;                        /* the region holds an engine */
	int door;                                 /* eventfd */
	void *engine;                             /* region of engine_size bytes */
	uint32_t seen[SN_MAX_WORKERS] SN_ALIGNED; /* epoch of each sibling that was dealt with */
};

struct sn_runtime {
	struct sn_runtime_cfg cfg;
	size_t size; /* of this mapping */
	size_t engine_size;
	struct sn_engine_cfg engine_cfg; /* what all workers have in common */
	struct sn_net_port_cfg net[SN_MAX_PORTS];
	struct sn_port port[SN_MAX_PORTS];
	uint32_t ports; /* opened */
	struct sn_bufs bufs[SN_MAX_WORKERS];
	struct sn_lcore lcore[SN_MAX_WORKERS];
	struct sn_ptr_ring *fwd[SN_MAX_WORKERS][SN_MAX_WORKERS];  /* [from][to] */
	struct sn_ptr_ring *home[SN_MAX_WORKERS][SN_MAX_WORKERS]; /* [holder][owner] */
	uint8_t *rings;
	size_t rings_size;
};

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Start-up and worker as Python drives them: the functions are declared in include/abi/40_worker.h.
 */
#ifndef SN_LCORE_WORKER_H
#define SN_LCORE_WORKER_H

#include "shm/channel.h" /* abi/60_core.h: struct sn_ring */
#include "sn_abi.h"

#include "abi/40_worker.h"

_Static_assert(sizeof(struct sn_cnc) == 64, "one cache line");

#endif

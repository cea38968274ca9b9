/* SPDX-License-Identifier: Apache-2.0
 *
 * The plain structs that cross a process boundary or are seen by Python. The abi files have no guards, so that
 * they can serve as cffi cdef: this header includes each exactly once.
 */
#ifndef SN_ABI_H
#define SN_ABI_H

#include "sn_base.h"

#include "abi/20_channel.h"
#include "abi/30_info.h"
#include "abi/32_neigh.h"

_Static_assert(sizeof(struct sn_sqe) == 64, "shared layout");
_Static_assert(sizeof(struct sn_cqe) == 64, "shared layout");

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Between an mbuf and the engine's record in its private area. For native/port only.
 */
#ifndef SN_PORT_MBUF_H
#define SN_PORT_MBUF_H

#include <rte_mbuf.h>

#include "sn_buf.h"

static inline struct sn_buf *sn_buf_of(struct rte_mbuf *m) { return (struct sn_buf *)(void *)(m + 1); }
static inline struct rte_mbuf *sn_mbuf_of(struct sn_buf *b) { return (struct rte_mbuf *)(void *)b - 1; }

#endif

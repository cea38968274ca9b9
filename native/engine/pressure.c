/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens when packet buffers run short. Received data stays in its buffers until the application reads it, so a few
 * applications that do not read, or peers that leave holes on purpose, could take all of a worker's buffers from the others.
 *
 *   free < 1/4   SN_TIGHT_SHORT  windows grow only for connections with little in their queue; short out-of-order queues
 *   free < 1/16  SN_TIGHT_LAST   nothing is queued out of order; no data for an application that is not reading
 *
 * Once a second what is longer than its bound is dropped: the peer keeps it until it is acknowledged in order (RFC 2018 8,
 * RFC 8684 3.3.6). Data in order that was acknowledged is never dropped.
 */
#include "engine/engine.h"

enum { OOO_FLOOR = 64 };
#define PRUNE_EVERY SN_SEC

void sn_pressure_look(struct sn_engine *e, sn_time now)
{
	uint32_t size, free = sn_pool_avail(e->cfg.pool, &size);

	if (SN_LIKELY(free >= size / 4)) {
		e->tight = SN_TIGHT_NOT;
		e->ooo_max = UINT32_MAX;
		return;
	}
	if (e->tight == SN_TIGHT_NOT)
		e->counters.pool_tight++;
	bool last = free < size / 16;
	e->tight = last ? SN_TIGHT_LAST : SN_TIGHT_SHORT;
	e->ooo_max = last ? 0 : SN_MAX(size / 64, (uint32_t)OOO_FLOOR);
	if (now < e->prune_at)
		return;
	e->prune_at = now + PRUNE_EVERY;
	uint32_t most = last ? OOO_FLOOR : SN_MAX(size / 16, (uint32_t)OOO_FLOOR);
	sn_mptcp_prune(e, most);
	if (e->tcp_ops->prune)
		e->tcp_ops->prune(e, most);
}

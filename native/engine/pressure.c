/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens when packet buffers run short. Received data stays in its buffers until the application reads it, so a few
 * applications that do not read, or peers that leave holes on purpose, could take all of a worker's buffers from the others.
 *
 *   free < 1/2   no connection's receive buffer grows any more
 *   free < 1/4   SN_TIGHT_SHORT  windows open only for connections with little in their queue; short out-of-order queues
 *   free < 1/16  SN_TIGHT_LAST   nothing is queued out of order; no data for an application that is not reading
 *
 * What is not taken is refused before TCP acknowledges it, as if it had been lost: the peer's subflow sends it again soon.
 * Below 1/16 queues behind a hole that stayed for a second are dropped as well; the peer keeps them until they are
 * acknowledged in order (RFC 2018 8, RFC 8684 3.3.6). Data in order that was acknowledged is never dropped.
 */
#include "engine/engine.h"

enum {
	OOO_FLOOR = 64,   /* buffers of an out-of-order queue that are nobody's concern */
	BUF_BYTES = 1448, /* payload of a usual buffer */
	RCV_FLOOR = 1 << 18
};
#define PRUNE_EVERY SN_SEC

/* No connection alone shall be able to make the pool short. */
static uint32_t rcv_most(const struct sn_engine *e, uint32_t size)
{
	if (!size)
		return e->cfg.rcvbuf;
	uint64_t part = (uint64_t)size / 4 * BUF_BYTES;
	return (uint32_t)SN_MIN((uint64_t)e->cfg.rcvbuf, SN_MAX(part, (uint64_t)RCV_FLOOR));
}

void sn_pressure_look(struct sn_engine *e, sn_time now)
{
	uint32_t size, free = sn_pool_avail(e->cfg.pool, &size);

	if (SN_UNLIKELY(size != e->pool_size || !e->rcv_plenty)) {
		e->pool_size = size;
		e->rcv_plenty = rcv_most(e, size);
	}
	e->rcv_most = free < size / 2 ? 0 : e->rcv_plenty;
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
	if (!last || now < e->prune_at)
		return;
	e->prune_at = now + PRUNE_EVERY;
	uint32_t hog = SN_MAX(size / 8, (uint32_t)OOO_FLOOR);
	sn_mptcp_prune(e, OOO_FLOOR, hog);
	if (e->tcp_ops->prune)
		e->tcp_ops->prune(e, OOO_FLOOR, hog);
}

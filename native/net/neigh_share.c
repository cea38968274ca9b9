/* SPDX-License-Identifier: Apache-2.0
 *
 * What workers tell each other of neighbours: copies of what was addressed to us, which reaches one of them alone, and of
 * every question a note, so that one question is asked, not one by each. A note is a frame that never was on a wire:
 *
 *   +----------------------------------+------------+--------------------------------------+
 *   |  Ethernet header, type SN_NOTE   |  tries (1) |  address that was asked for (16)     |
 *   +----------------------------------+------------+--------------------------------------+
 */
#include "net/neigh.h"

enum { NOTE = SN_ETH_HDR + 17 };

void sn_neigh_share_question(const struct sn_neigh *h, sn_time now)
{
	uint8_t frame[NOTE];
	struct sn_buf b = {.data = frame, .len = NOTE, .port = h->port};
	const uint8_t *mac = h->engine->net.port[h->port].mac;

	sn_eth_emit(frame, mac, mac, SN_NEIGH_NOTE);
	frame[SN_ETH_HDR] = h->tries;
	memcpy(frame + SN_ETH_HDR + 1, h->addr.b, 16);
	sn_neigh_share(h->engine, &b, NOTE, now);
}

/* The sibling asks once a second; when it falls silent, who needs the address asks himself. */
void sn_neigh_note_rx(struct sn_engine *e, struct sn_buf *b, sn_time now)
{
	struct sn_addr addr;

	if (b->len < NOTE)
		return;
	memcpy(addr.b, b->data + SN_ETH_HDR + 1, 16);
	struct sn_neigh *h = sn_neigh_find(&e->net, b->port, &addr);
	if (!h)
		h = sn_neigh_make_spare(e, b->port, &addr);
	if (!h || h->state == SN_NEIGH_FRESH || h->state == SN_NEIGH_CHECKING)
		return;
	h->state = SN_NEIGH_ASKING;
	h->told = true;
	h->asked = now;
	h->tries = SN_MAX(h->tries, b->data[SN_ETH_HDR]);
	sn_wheel_arm(&e->wheel, &h->timer, now + SN_NEIGH_RETRY * 3 / 2);
}

void sn_neigh_share(struct sn_engine *e, const struct sn_buf *b, uint32_t len, sn_time now)
{
	for (uint32_t w = 0; w < e->cfg.workers; w++) {
		if (w == e->cfg.worker || !sn_net_limit_take(&e->net.neigh_share_limit, SN_NEIGH_SHARE_RATE, now))
			continue;
		struct sn_buf *copy = sn_buf_alloc(e->cfg.pool);
		if (!copy || len > copy->room - SN_HEADROOM) {
			e->counters.tx_nobuf++;
			if (copy)
				sn_buf_free(copy);
			return;
		}
		copy->next = NULL;
		copy->data = copy->base + SN_HEADROOM;
		copy->len = len;
		copy->port = b->port;
		copy->flags = SN_BUF_FORWARDED;
		memcpy(copy->data, b->data, len);
		if (!e->cfg.hooks.forward || !e->cfg.hooks.forward(e->cfg.hooks.ctx, w, copy)) {
			e->counters.forward_full++;
			sn_buf_free(copy);
		}
	}
}

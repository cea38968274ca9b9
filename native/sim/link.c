/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"

void sn_sim_half_init(struct sn_sim_half *l, const struct sn_sim_link *cfg, uint64_t seed, uint64_t stream)
{
	memset(l, 0, sizeof *l);
	l->cfg = cfg;
	l->busy = &l->own_busy;
	l->rng = sn_rng_seed(seed, 0x1000 + stream);
}

/* TCP payload of a frame, for the share per path. */
static uint32_t tcp_payload(const struct sn_buf *b)
{
	const uint8_t *ip = b->data + 14;
	if (b->len < 54 || sn_get16(b->data + 12) != 0x0800 || ip[9] != 6)
		return 0;
	uint32_t ihl = (ip[0] & 15u) * 4, total = sn_get16(ip + 2);
	if (ihl + 20 > b->len - 14)
		return 0;
	uint32_t off = ihl + (uint32_t)(ip[ihl + 12] >> 4) * 4;
	return total > off ? total - off : 0;
}

static void insert(struct sn_sim_half *l, struct sn_buf *b, sn_time at)
{
	b->user[0] = at;
	b->next = NULL;
	if (!l->head) {
		l->head = l->tail = b;
	} else if (l->tail->user[0] <= at) {
		l->tail->next = b;
		l->tail = b;
	} else {
		/* Only held-back frames make the list unsorted at its end. */
		struct sn_buf **p = &l->head;
		while (*p && (*p)->user[0] <= at)
			p = &(*p)->next;
		b->next = *p;
		*p = b;
	}
}

static struct sn_buf *copy(const struct sn_buf *b)
{
	struct sn_buf *d = sn_buf_alloc(b->pool);
	if (d) {
		memcpy(d->data, b->data, b->len);
		d->len = b->len;
		d->port = b->port;
		d->flags = b->flags;
	}
	return d;
}

void sn_sim_half_send(struct sn_sim_half *l, struct sn_buf *b, sn_time now)
{
	const struct sn_sim_link *c = l->cfg;

	l->frames++;
	l->payload += tcp_payload(b);
	if (l->down) {
		l->lost++;
		sn_buf_free(b);
		return;
	}
	if (c->rate_bps) {
		sn_time from = SN_MAX(*l->busy, now);
		uint64_t backlog = (uint64_t)((__uint128_t)(from - now) * c->rate_bps / (8 * SN_SEC));
		if (c->queue_bytes && backlog + b->len > c->queue_bytes && from > now) {
			l->overflow++;
			sn_buf_free(b);
			return;
		}
		*l->busy = from + (sn_time)((__uint128_t)b->len * 8 * SN_SEC / c->rate_bps);
	} else {
		*l->busy = now;
	}
	if (sn_rng_chance(&l->rng, c->loss)) {
		l->lost++;
		sn_buf_free(b);
		return;
	}
	if (sn_rng_chance(&l->rng, c->corrupt) && b->len > 54 && sn_get16(b->data + 12) == 0x0800)
		b->data[14 + sn_rng_below(&l->rng, b->len - 14)] ^= (uint8_t)(1u << sn_rng_below(&l->rng, 8));

	sn_time at = *l->busy + c->delay_ns;
	if (c->jitter_ns)
		at += sn_rng_below(&l->rng, c->jitter_ns + 1);
	bool held = sn_rng_chance(&l->rng, c->reorder);
	if (held) {
		at += c->reorder_ns;
	} else {
		at = SN_MAX(at, l->last);
		l->last = at;
	}
	if (sn_rng_chance(&l->rng, c->duplicate)) {
		struct sn_buf *d = copy(b);
		if (d)
			insert(l, d, at);
	}
	insert(l, b, at);
}

struct sn_buf *sn_sim_half_take(struct sn_sim_half *l)
{
	struct sn_buf *b = l->head;
	l->head = b->next;
	if (!l->head)
		l->tail = NULL;
	b->next = NULL;
	b->user[0] = 0;
	return b;
}

void sn_sim_half_set_down(struct sn_sim_half *l, bool down)
{
	l->down = down;
	while (down && l->head) {
		l->lost++;
		sn_buf_free(sn_sim_half_take(l));
	}
	if (down)
		l->own_busy = l->last = 0;
}

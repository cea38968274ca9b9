/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"

void sn_sim_half_init(struct sn_sim_half *l, const struct sn_sim_link *cfg, uint64_t seed, uint64_t stream,
		      sn_time start)
{
	memset(l, 0, sizeof *l);
	l->cfg = cfg;
	l->start = start;
	l->start_seed = sn_rng_seed(seed, 0x8000 + stream).at;
	l->wire = l;
	l->rng = sn_rng_seed(seed, 0x1000 + stream);
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

uint64_t sn_sim_half_backlog(const struct sn_sim_half *l, sn_time now)
{
	sn_time from = SN_MAX(l->wire->busy, now);

	return (uint64_t)((__uint128_t)(from - now) * l->wire->cfg->rate_bps / (8 * SN_SEC));
}

/* Loss, independent or in bursts. The state of the burst moves with every frame. */
static bool lost(struct sn_sim_half *l, bool payload, sn_time now)
{
	const struct sn_sim_link *c = l->cfg;

	if (c->loss_every && payload && ++l->since_loss % c->loss_every == 0)
		return true;
	if (c->burst_enter > 0) {
		if (sn_rng_chance(&l->rng, l->bad ? c->burst_leave : c->burst_enter) ||
		    (l->bad && c->burst_ns && now > l->bad_since + c->burst_ns)) {
			l->bad = !l->bad;
			l->bad_since = now;
		}
	}
	return sn_rng_chance(&l->rng, l->bad ? c->burst_loss : c->loss);
}

static bool off(const struct sn_sim_half *l, sn_time now)
{
	const struct sn_sim_link *c = l->cfg;

	if (!c->down_ns || l->down)
		return l->down;
	/* At another place in every period: no beat with retransmission timers that double. */
	uint64_t period = c->up_ns + c->down_ns, at = (now - l->start) % period;
	uint64_t from = sn_rng_mix(l->start_seed ^ (now - l->start) / period) % c->up_ns;
	return at >= from && at < from + c->down_ns;
}

/* An IP packet with something in it: what has a checksum, if not over every byte. */
static bool is_ip(const struct sn_buf *b)
{
	uint32_t type = b->len > 14 ? sn_get16(b->data + 12) : 0;

	return (type == 0x0800 && b->len > 54) || (type == 0x86dd && b->len > 74);
}

void sn_sim_half_send(struct sn_sim_half *l, struct sn_buf *b, sn_time now)
{
	const struct sn_sim_link *c = l->cfg, *w = l->wire->cfg;
	sn_time *busy = &l->wire->busy;
	struct sn_sim_frame f;
	uint32_t payload = sn_sim_frame_parse(&f, b) ? f.payload : 0;

	l->frames++;
	l->payload += payload;
	if (off(l, now) || (c->mtu && b->len > 14 + c->mtu)) {
		l->lost++;
		sn_buf_free(b);
		return;
	}
	if (w->rate_bps) {
		sn_time from = SN_MAX(*busy, now);
		uint64_t backlog = w->queue_bytes || w->ecn_bytes ? sn_sim_half_backlog(l, now) : 0;
		if (w->queue_bytes && backlog + b->len > w->queue_bytes && from > now) {
			l->overflow++;
			sn_buf_free(b);
			return;
		}
		if (w->ecn_bytes && backlog + b->len > w->ecn_bytes)
			l->marked += sn_sim_frame_mark(b);
		*busy = from + (sn_time)((__uint128_t)b->len * 8 * SN_SEC / w->rate_bps);
	} else {
		*busy = now;
	}
	if (lost(l, payload, now)) {
		l->lost++;
		sn_buf_free(b);
		return;
	}
	if (sn_rng_chance(&l->rng, c->corrupt) && is_ip(b))
		b->data[14 + sn_rng_below(&l->rng, b->len - 14)] ^= (uint8_t)(1u << sn_rng_below(&l->rng, 8));

	sn_time at = *busy + c->delay_ns;
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
		struct sn_buf *d = sn_sim_frame_copy(b);
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
		l->busy = l->last = 0;
}

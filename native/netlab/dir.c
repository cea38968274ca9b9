/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/netlab.h"

/* A frame of a burst of loss takes its time on the wire like any other and vanishes at the end of it. In sn_buf.flags, which
 * a duplicate inherits. */
enum { VANISHES = 1 << 7 };

void sn_netlab_dir_init(struct sn_netlab_dir *d, uint64_t seed, uint64_t stream)
{
	memset(d, 0, sizeof *d);
	d->rng = sn_rng_seed(seed, 0x2000 + stream);
	sn_sim_half_init(&d->half, &d->wire, seed, stream, 0);
}

void sn_netlab_dir_set(struct sn_netlab_dir *d, const struct sn_netlab_link *what)
{
	d->what = *what;
	d->wire = what->link;
	d->wire.corrupt = 0; /* done here, for IPv6 too, and counted */
	if (!what->burst_enter)
		d->burst = false;
	if (d->half.down != !!what->down) {
		uint64_t before = d->half.lost;

		sn_sim_half_set_down(&d->half, what->down);
		d->flushed += d->half.lost - before;
		d->stats.down_lost += d->half.lost - before;
		d->stats.waiting = 0;
	}
}

/* One step of the Gilbert-Elliott chain, then the loss of the state it is in. */
static bool burst_loss(struct sn_netlab_dir *d)
{
	const struct sn_netlab_link *w = &d->what;

	if (!w->burst_enter)
		return false;
	if (sn_rng_chance(&d->rng, d->burst ? w->burst_leave : w->burst_enter))
		d->burst = !d->burst;
	return sn_rng_chance(&d->rng, d->burst ? w->burst_loss : w->calm_loss);
}

/* Where the packet begins: behind one VLAN tag if there is one. */
static uint32_t packet_at(const struct sn_buf *b)
{
	uint16_t type = b->len >= 18 ? sn_get16(b->data + 12) : 0;

	return type == 0x8100 || type == 0x88a8 ? 18 : 14;
}

static void corrupt(struct sn_netlab_dir *d, struct sn_buf *b)
{
	uint32_t l3 = packet_at(b);

	if (!sn_rng_chance(&d->rng, d->what.link.corrupt) || b->len <= l3)
		return;
	uint16_t type = sn_get16(b->data + l3 - 2);
	if (type != 0x0800 && type != 0x86dd)
		return;
	b->data[l3 + sn_rng_below(&d->rng, b->len - l3)] ^= (uint8_t)(1u << sn_rng_below(&d->rng, 8));
	d->stats.corrupted++;
}

void sn_netlab_dir_push(struct sn_netlab_dir *d, struct sn_buf *b, uint32_t length, sn_time now)
{
	struct sn_netlab_stats *s = &d->stats;
	struct sn_sim_half *l = &d->half;

	s->rx_frames++;
	s->rx_bytes += length;
	if (d->what.down) {
		s->down_lost++;
		sn_buf_free(b);
		return;
	}
	if (length > b->len || (d->what.mtu && length > d->what.mtu + packet_at(b))) {
		s->too_big++;
		sn_buf_free(b);
		return;
	}
	if (burst_loss(d))
		b->flags |= VANISHES;
	corrupt(d, b);

	struct sn_netlab_pool *p = b->pool->ctx;
	uint64_t gone = l->lost + l->overflow;
	uint32_t used = p->used;
	b->user[1] = p->now = now;
	sn_sim_half_send(l, b, now);
	if (l->lost + l->overflow != gone)
		return;
	/* The buffer is in the link's list now; only a frame that was held back is due after the newest in order. */
	if (b->user[0] > l->last)
		s->reordered++;
	s->duplicated += p->used - used;
	s->waiting += 1 + p->used - used;
}

struct sn_buf *sn_netlab_dir_pull(struct sn_netlab_dir *d, sn_time now)
{
	while (sn_sim_half_next(&d->half) <= now) {
		sn_time due = d->half.head->user[0];
		struct sn_buf *b = sn_sim_half_take(&d->half);

		d->stats.waiting--;
		if (b->flags & VANISHES) {
			d->stats.burst_lost++;
			sn_buf_free(b);
			continue;
		}
		b->user[0] = due;
		return b;
	}
	return NULL;
}

void sn_netlab_dir_sent(struct sn_netlab_dir *d, const struct sn_buf *b, sn_time due, sn_time now)
{
	struct sn_netlab_stats *s = &d->stats;
	sn_time late = now > due ? now - due : 0;

	s->tx_frames++;
	s->tx_bytes += b->len;
	s->delay_ns += now - b->user[1];
	s->late_ns += late;
	s->late_max_ns = SN_MAX(s->late_max_ns, late);
}

void sn_netlab_dir_stats(const struct sn_netlab_dir *d, sn_time now, struct sn_netlab_stats *out)
{
	*out = d->stats;
	out->lost = d->half.lost - d->flushed;
	out->overflow = d->half.overflow;
	out->backlog_ns = d->half.wire->busy > now ? d->half.wire->busy - now : 0;
	out->queue_bytes = (uint64_t)((__uint128_t)out->backlog_ns * d->wire.rate_bps / (8 * SN_SEC));
}

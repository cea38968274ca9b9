/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"

void sn_sim_middle_init(struct sn_sim_middle *m, const struct sn_sim_box *cfg, uint64_t seed, uint32_t path)
{
	memset(m, 0, sizeof *m);
	m->cfg = cfg;
	m->seed = seed;
	m->path = path;
	m->rng = sn_rng_seed(seed, 0x5000 + path);
	m->until[0] = m->until[1] = SN_TIME_NEVER;
}

static bool idle(const struct sn_sim_box *c)
{
	return !(c->flags || c->strip_syn || c->strip_synack || c->strip_data || c->mangle > 0 || c->mss || c->split ||
		 c->coalesce || c->rewrite > 0);
}

static bool in(uint32_t kinds, uint8_t kind) { return kind < 32 && kinds >> kind & 1; }

static void strip(struct sn_sim_middle *m, struct sn_sim_frame *f)
{
	uint8_t flags = sn_sim_frame_flags(f);
	uint32_t at = 0, kinds = !(flags & SN_SIM_SYN) ? m->cfg->strip_data
				 : flags & SN_SIM_ACK  ? m->cfg->strip_synack
						       : m->cfg->strip_syn;
	uint8_t *o;

	while (kinds && (o = sn_sim_frame_option(f, &at)) != NULL)
		if (in(kinds, o[0])) {
			memset(o, 1, o[1]);
			(*m->changes)++;
		}
}

static void mangle(struct sn_sim_middle *m, struct sn_sim_frame *f)
{
	uint32_t at = 0;
	uint8_t *o;

	while ((o = sn_sim_frame_option(f, &at)) != NULL) {
		if (o[0] == SN_SIM_KIND_MSS && o[1] == 4 && m->cfg->mss && sn_get16(o + 2) > m->cfg->mss)
			sn_put16(o + 2, (uint16_t)m->cfg->mss);
		if (in(m->cfg->mangle_kinds, o[0]) && o[1] > 2 && sn_rng_chance(&m->rng, m->cfg->mangle)) {
			uint32_t bit = (uint32_t)sn_rng_below(&m->rng, (o[1] - 2u) * 8);
			o[2 + bit / 8] ^= (uint8_t)(1u << bit % 8);
			(*m->changes)++;
		}
	}
}

/* Another byte in the payload, as an application gateway would put it there. */
static void rewrite(struct sn_sim_middle *m, struct sn_sim_frame *f)
{
	if (!f->payload || (m->cfg->rewrite_max && m->rewrites == m->cfg->rewrite_max) ||
	    !sn_rng_chance(&m->rng, m->cfg->rewrite))
		return;
	f->data[sn_rng_below(&m->rng, f->payload)] ^= (uint8_t)(1 + sn_rng_below(&m->rng, 255));
	m->rewrites++;
	(*m->changes)++;
}

/* The shift of one direction of a flow, by A's and B's port as A knows them. */
static uint32_t shift(const struct sn_sim_middle *m, uint32_t ports, uint32_t dir)
{
	return (uint32_t)sn_rng_mix(sn_rng_seed(m->seed, 0x6000 + m->path * 2 + dir).at ^ ports);
}

static void sequence(struct sn_sim_middle *m, uint32_t dir, struct sn_sim_frame *f)
{
	uint32_t ports = dir ? (uint32_t)sn_get16(f->tcp + 2) << 16 | sn_get16(f->tcp) : sn_get32(f->tcp);
	uint32_t back = shift(m, ports, !dir), at = 0;
	uint8_t *o;

	sn_put32(f->tcp + 4, sn_get32(f->tcp + 4) + shift(m, ports, dir));
	if (!(sn_sim_frame_flags(f) & SN_SIM_ACK))
		return;
	sn_put32(f->tcp + 8, sn_get32(f->tcp + 8) - back);
	if (m->cfg->flags & SN_SIM_BOX_NO_SACK)
		return;
	while ((o = sn_sim_frame_option(f, &at)) != NULL)
		for (uint32_t i = 2; o[0] == SN_SIM_KIND_SACK && i + 4 <= o[1]; i += 4)
			sn_put32(o + i, sn_get32(o + i) - back);
}

/* Cuts a segment; every piece has the header's options, as a segmenting NIC writes them. */
static void cut(struct sn_sim_middle *m, uint32_t dir, struct sn_buf *b, sn_time now)
{
	struct sn_sim_frame f;
	uint32_t step = m->cfg->split;

	if (!step || !sn_sim_frame_parse(&f, b) || f.payload <= step ||
	    sn_sim_frame_flags(&f) & (SN_SIM_SYN | SN_SIM_RST)) {
		m->out(m->ctx, m->path, dir, b, now);
		return;
	}
	for (uint32_t at = 0; at < f.payload; at += step) {
		struct sn_buf *d = sn_sim_frame_copy(b);
		struct sn_sim_frame g;
		if (!d || !sn_sim_frame_parse(&g, d)) /* an empty pool: the rest is lost */
			break;
		bool last = at + step >= f.payload;
		g.payload = SN_MIN(step, f.payload - at);
		memmove(g.data, g.data + at, g.payload);
		sn_put32(g.tcp + 4, sn_sim_frame_seq(&f) + at);
		if (!last)
			g.tcp[13] &= (uint8_t) ~(SN_SIM_FIN | SN_SIM_PSH);
		if (at)
			g.tcp[13] &= (uint8_t)~SN_SIM_CWR;
		sn_sim_frame_finish(&g, d, m->csum);
		m->out(m->ctx, m->path, dir, d, now);
		(*m->changes)++;
	}
	sn_buf_free(b);
}

static bool has_mptcp(const struct sn_sim_frame *f)
{
	uint32_t at = 0;
	uint8_t *o;

	while ((o = sn_sim_frame_option(f, &at)) != NULL)
		if (o[0] == SN_SIM_KIND_MPTCP)
			return true;
	return false;
}

static bool same_options(const struct sn_sim_frame *a, const struct sn_sim_frame *b)
{
	size_t n = (size_t)(a->data - a->tcp);

	return n == (size_t)(b->data - b->tcp) && memcmp(a->tcp + 20, b->tcp + 20, n - 20) == 0;
}

static bool plain(const struct sn_sim_frame *f)
{
	return f->payload && !(sn_sim_frame_flags(f) & ~(SN_SIM_ACK | SN_SIM_PSH)) &&
	       sn_sim_frame_flags(f) & SN_SIM_ACK;
}

/* Appends b to what is held of its flow. Segments with other MPTCP options stay apart; those of a NIC that cut a large one
 * have the same, as every receiving NIC that joins segments expects. */
static bool join(struct sn_sim_middle *m, uint32_t dir, struct sn_sim_frame *f)
{
	struct sn_sim_frame h;
	struct sn_buf *held = m->held[dir];

	if (!held || !plain(f) || !sn_sim_frame_parse(&h, held) || !sn_sim_frame_same_hosts(&h, f) ||
	    sn_get32(h.tcp) != sn_get32(f->tcp) || sn_sim_frame_ecn(&h) != sn_sim_frame_ecn(f) ||
	    sn_sim_frame_seq(&h) + h.payload != sn_sim_frame_seq(f) || h.payload + f->payload > m->cfg->coalesce ||
	    held->len + f->payload > m->room ||
	    (!(m->cfg->flags & SN_SIM_BOX_DUMB) && has_mptcp(f) && !same_options(&h, f)))
		return false;
	memcpy(h.data + h.payload, f->data, f->payload);
	h.payload += f->payload;
	memcpy(h.tcp + 8, f->tcp + 8, 4);   /* the newer acknowledgment */
	memcpy(h.tcp + 14, f->tcp + 14, 2); /* and window */
	h.tcp[13] |= sn_sim_frame_flags(f) & SN_SIM_PSH;
	sn_sim_frame_finish(&h, held, m->csum);
	(*m->changes)++;
	return true;
}

static void release(struct sn_sim_middle *m, uint32_t dir, sn_time now)
{
	struct sn_buf *b = m->held[dir];

	m->held[dir] = NULL;
	m->until[dir] = SN_TIME_NEVER;
	if (b)
		cut(m, dir, b, now);
}

void sn_sim_middle_send(struct sn_sim_middle *m, uint32_t dir, struct sn_buf *b, sn_time now)
{
	const struct sn_sim_box *c = m->cfg;
	struct sn_sim_frame f;

	if (idle(c)) {
		m->out(m->ctx, m->path, dir, b, now);
		return;
	}
	if (!sn_sim_frame_parse(&f, b)) {
		if (c->flags & SN_SIM_BOX_NAT)
			sn_sim_nat_arp(m, dir, b);
		m->out(m->ctx, m->path, dir, b, now);
		return;
	}
	strip(m, &f);
	mangle(m, &f);
	rewrite(m, &f);
	if (c->flags & SN_SIM_BOX_SEQ && dir == 0)
		sequence(m, dir, &f);
	if (c->flags & SN_SIM_BOX_NAT && !sn_sim_nat_tcp(m, dir, &f)) {
		sn_buf_free(b);
		return;
	}
	if (c->flags & SN_SIM_BOX_SEQ && dir == 1)
		sequence(m, dir, &f);
	sn_sim_frame_finish(&f, b, m->csum);
	if (join(m, dir, &f)) {
		sn_buf_free(b);
		return;
	}
	release(m, dir, now);
	if (c->coalesce && plain(&f) && f.payload < c->coalesce) {
		m->held[dir] = b;
		m->until[dir] = now + c->coalesce_ns;
	} else {
		cut(m, dir, b, now);
	}
}

void sn_sim_middle_flush(struct sn_sim_middle *m, sn_time now)
{
	for (uint32_t d = 0; d < 2; d++)
		if (m->until[d] <= now)
			release(m, d, now);
}

void sn_sim_middle_drop(struct sn_sim_middle *m)
{
	for (uint32_t d = 0; d < 2; d++) {
		if (m->held[d])
			sn_buf_free(m->held[d]);
		m->held[d] = NULL;
		m->until[d] = SN_TIME_NEVER;
	}
}

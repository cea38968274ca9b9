/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"

enum { STRANGERS = 200, FIRST_STRANGER = 20 };

void sn_sim_flood_init(struct sn_sim_middle *m)
{
	const struct sn_sim_cfg *c = m->sim->cfg;

	m->flood.next = SN_TIME_NEVER;
	for (uint32_t i = 0; i < c->events; i++)
		m->flood.planned |= c->event[i].what == SN_SIM_FLOOD && c->event[i].path == m->path;
}

void sn_sim_flood_see(struct sn_sim_middle *m, const struct sn_buf *b)
{
	struct sn_sim_flood *fl = &m->flood;
	struct sn_sim_frame f;

	if (fl->len || b->len > SN_SIM_FLOOD_SYN || !sn_sim_frame_parse(&f, b) ||
	    (sn_sim_frame_flags(&f) & (SN_SIM_SYN | SN_SIM_ACK)) != SN_SIM_SYN)
		return;
	memcpy(fl->syn, b->data, b->len);
	fl->len = b->len;
}

void sn_sim_flood_begin(struct sn_sim_middle *m, sn_time until, uint64_t rate)
{
	if (!m->flood.len || !rate)
		return;
	m->flood.next = m->sim->now;
	m->flood.until = until;
	m->flood.gap = SN_MAX(SN_SEC / rate, (sn_time)1);
}

static void send_one(struct sn_sim_middle *m)
{
	struct sn_sim_flood *fl = &m->flood;
	struct sn_buf *b = sn_buf_alloc(&m->sim->host[0].pool.pool);
	struct sn_sim_frame f;

	if (!b)
		return;
	memcpy(b->data, fl->syn, fl->len);
	b->len = fl->len;
	b->flags = SN_BUF_CSUM_GOOD;
	b->port = (uint16_t)m->path;
	if (sn_sim_frame_parse(&f, b)) {
		uint8_t *low = f.v6 ? f.ip + 8 + 15 : f.ip + 12 + 3;
		if (fl->sent++ & 1)
			*low = (uint8_t)(FIRST_STRANGER + sn_rng_below(&m->rng, STRANGERS));
		sn_put16(f.tcp, (uint16_t)(1024 + sn_rng_below(&m->rng, 60000)));
		sn_put32(f.tcp + 4, (uint32_t)sn_rng_below(&m->rng, UINT32_MAX));
		sn_sim_frame_finish(&f, b, m->sim->soft_csum);
	}
	sn_sim_half_send(&m->sim->link[0][m->path], b, m->sim->now);
}

void sn_sim_flood_run(struct sn_sim_middle *m)
{
	while (m->flood.next <= m->sim->now) {
		send_one(m);
		m->flood.next += m->flood.gap;
		if (m->flood.next >= m->flood.until)
			m->flood.next = SN_TIME_NEVER;
	}
}

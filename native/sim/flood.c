/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"

enum { STRANGERS = 200, FIRST_STRANGER = 20 };

void sn_sim_flood_init(struct sn_sim *sim, uint32_t path)
{
	const struct sn_sim_cfg *c = sim->cfg;
	struct sn_sim_flood *fl = &sim->flood[path];

	fl->next = SN_TIME_NEVER;
	fl->rng = sn_rng_seed(c->seed, 0x5800 + path);
	for (uint32_t i = 0; i < c->events; i++)
		fl->planned |= c->event[i].what == SN_SIM_FLOOD && c->event[i].path == path;
}

void sn_sim_flood_see(struct sn_sim *sim, uint32_t path, const struct sn_buf *b)
{
	struct sn_sim_flood *fl = &sim->flood[path];
	struct sn_sim_frame f;

	if (fl->len || b->len > SN_SIM_FLOOD_SYN || !sn_sim_frame_parse(&f, b) ||
	    (sn_sim_frame_flags(&f) & (SN_SIM_SYN | SN_SIM_ACK)) != SN_SIM_SYN)
		return;
	memcpy(fl->syn, b->data, b->len);
	fl->len = b->len;
}

void sn_sim_flood_begin(struct sn_sim *sim, uint32_t path, sn_time until, uint64_t rate)
{
	struct sn_sim_flood *fl = &sim->flood[path];

	if (!fl->len || !rate)
		return;
	fl->next = sim->now;
	fl->until = until;
	fl->gap = SN_MAX(SN_SEC / rate, (sn_time)1);
}

static void send_one(struct sn_sim *sim, uint32_t path)
{
	struct sn_sim_flood *fl = &sim->flood[path];
	struct sn_buf *b = sn_buf_alloc(&sim->host[0].pool.pool);
	struct sn_sim_frame f;

	if (!b)
		return;
	memcpy(b->data, fl->syn, fl->len);
	b->len = fl->len;
	b->flags = SN_BUF_CSUM_GOOD;
	b->port = (uint16_t)path;
	if (sn_sim_frame_parse(&f, b)) {
		uint8_t *low = f.v6 ? f.ip + 8 + 15 : f.ip + 12 + 3;
		if (fl->sent++ & 1)
			*low = (uint8_t)(FIRST_STRANGER + sn_rng_below(&fl->rng, STRANGERS));
		sn_put16(f.tcp, (uint16_t)(1024 + sn_rng_below(&fl->rng, 60000)));
		sn_put32(f.tcp + 4, (uint32_t)sn_rng_below(&fl->rng, UINT32_MAX));
		sn_sim_frame_finish(&f, b, sim->soft_csum);
	}
	sn_sim_half_send(&sim->link[0][path], b, sim->now);
}

void sn_sim_flood_run(struct sn_sim *sim, uint32_t path)
{
	struct sn_sim_flood *fl = &sim->flood[path];

	while (fl->next <= sim->now) {
		send_one(sim, path);
		fl->next += fl->gap;
		if (fl->next >= fl->until)
			fl->next = SN_TIME_NEVER;
	}
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection between two engines under observation: what options were seen on the way (`seen`), one option of a segment
 * to be changed (`option`), begin and end. For one test program each: it holds the pair.
 */
#ifndef MPTCP_LOOK_H
#define MPTCP_LOOK_H

#include "mptcp_pair.h"

static struct pair p;
static struct {
	uint32_t fail, infinite, rst_reason, fail_on_rst, syn_capable, syn_plain, prio;
	uint32_t removed, no_join_flag, join_port;
} seen;

static inline bool look(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)q, (void)to, (void)path, (void)tcp;
	const struct sn_mp_opts *mp = &seg->mp;
	bool dss = mp->present & SN_MP_BIT(SN_MP_DSS), rst = seg->flags & SN_TH_RST;
	seen.fail += (mp->present & SN_MP_BIT(SN_MP_FAIL)) != 0;
	seen.infinite += dss && (mp->dss.flags & SN_DSS_MAP) && !mp->dss.len;
	if (rst && (mp->present & SN_MP_BIT(SN_MP_TCPRST)))
		seen.rst_reason = mp->rst_reason;
	seen.fail_on_rst += rst && (mp->present & SN_MP_BIT(SN_MP_FAIL));
	if ((seg->flags & (SN_TH_SYN | SN_TH_ACK)) == SN_TH_SYN) {
		seen.syn_capable += (mp->present & SN_MP_BIT(SN_MP_CAPABLE)) != 0;
		seen.syn_plain += !mp->present;
		if (mp->present & SN_MP_BIT(SN_MP_JOIN))
			seen.join_port = seg->dport;
	}
	seen.prio += (mp->present & SN_MP_BIT(SN_MP_PRIO)) != 0;
	if (mp->present & SN_MP_BIT(SN_MP_REMOVE_ADDR))
		seen.removed |= 1u << mp->remove_addr.id[0];
	seen.no_join_flag += (mp->present & SN_MP_BIT(SN_MP_CAPABLE)) && (mp->capable.flags & SN_MPC_NO_JOIN);
	return true;
}

/* The option of subtype `sub` in a segment, NULL if there is none. */
static inline uint8_t *option(const struct sn_tcp_seg *seg, uint8_t *tcp, uint8_t sub)
{
	for (uint32_t i = 20; i < seg->hdr_len; i += tcp[i] <= 1 ? 1 : tcp[i + 1])
		if (tcp[i] == 30 && tcp[i + 2] >> 4 == sub)
			return tcp + i;
	return NULL;
}

static inline void begin(uint32_t paths, uint8_t flags)
{
	memset(&seen, 0, sizeof seen);
	pair_init(&p, 0);
	p.filter = look;
	for (uint32_t i = 1; i < paths; i++)
		pair_endpoint(&p, B, i, SN_EP_SIGNAL);
	pair_connect(&p, flags);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 10000);
	pair_send(&p, B, 10000);
	pair_run(&p, 300 * SN_MSEC);
	CHECK_EQ(pair_subflows(&p, A), paths);
}

static inline void close_both(void)
{
	pair_op(&p, A, SN_OP_CLOSE);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, 3 * SN_SEC);
	CHECK_EQ(p.s[A].closed + p.s[B].closed, 2);
	CHECK_EQ(p.s[A].closed_res | p.s[B].closed_res, 0);
	pair_close(&p);
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * ICMP errors under MPTCP: a join that a firewall refuses, and a connection that lost its last subflow behind one.
 */
#include "icmp_by_hand.h"
#include "mptcp_look.h"

static uint32_t refused; /* SYNs of A that the firewall answered */
static bool wall;        /* it stands in front of joins */
static bool cut;         /* the next empty segment to A becomes a RST */

/* Port unreachable to A, about the segment at `tcp`. */
static void say_no(struct pair *q, uint32_t path, const struct sn_tcp_seg *seg)
{
	bool v6 = pair_family == PAIR_V6;
	struct sn_addr us = pair_addr(path, 1), router = pair_addr(path, 99);
	struct icmp_by_hand m = {.type = v6 ? 1 : 3,
				 .code = v6 ? 4 : 3,
				 .flow = {us, pair_addr(path, 2), seg->sport, seg->dport},
				 .seq = seg->seq,
				 .tcp_len = 8};
	struct sn_buf *b = sn_buf_alloc(&q->ether.pool);

	memcpy(b->data, (uint8_t[]){2, 0, 0, 0, (uint8_t)path, 1, 2, 0, 0, 0, 0, 99}, 12);
	sn_put16(b->data + 12, v6 ? 0x86dd : 0x0800);
	b->len = 14 + icmp_packet(b->data + 14, &m, &router, &us);
	b->port = (uint16_t)path;
	b->user[0] = q->now + SN_MSEC;
	b->user[1] = A;
	pair_wire(q, b);
}

static bool firewall(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	if (cut && to == A && !seg->len && !(seg->flags & SN_TH_SYN)) {
		tcp[13] = SN_TH_RST | SN_TH_ACK;
		cut = false;
	}
	if (!wall || to != B || !(seg->flags & SN_TH_SYN) || !(seg->mp.present & SN_MP_BIT(SN_MP_JOIN)))
		return true;
	say_no(q, path, seg);
	refused++;
	return false;
}

SN_TEST(a_join_that_a_firewall_refuses_is_told_and_the_connection_lives)
{
	struct sn_pm_event ev[32];
	uint64_t lost;
	uint32_t n, ended = 0;

	refused = 0;
	wall = true;
	begin(1, 0);
	p.filter = firewall;
	sn_engine_watch(p.s[A].e, true);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_run(&p, 300 * SN_MSEC);
	CHECK(refused >= 1);
	CHECK_EQ(pair_subflows(&p, A), 1);
	n = sn_engine_events(p.s[A].e, ev, 32, &lost);
	for (uint32_t i = 0; i < n; i++)
		ended += ev[i].kind == SN_PM_SUB_CLOSED && ev[i].error == -SN_E_REFUSED;
	CHECK_EQ(ended, refused);
	CHECK_EQ(p.s[A].e->counters.icmp_error_ended, refused);
	pair_send(&p, A, 100000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	sn_engine_watch(p.s[A].e, false);
	close_both();
}

SN_TEST(a_firewall_in_front_of_the_last_path_is_not_the_peer_s_word)
{
	refused = 0;
	wall = false;
	begin(1, 0);
	p.filter = firewall;
	pair_run(&p, 3 * SN_SEC);
	wall = cut = true;
	pair_send(&p, A, 100000);
	pair_run(&p, 15 * SN_SEC);
	CHECK(!cut);
	CHECK(refused >= SN_PATH_TRIES);
	CHECK_EQ(pair_subflows(&p, A), 0);
	wall = false;
	pair_run(&p, 10 * SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), 1);
	pair_check_streams(&p);
	close_both();
}

PAIR_TEST_MAIN()

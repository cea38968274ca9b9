/* SPDX-License-Identifier: Apache-2.0
 *
 * ECN between two engines: negotiation, marks, echo and answer (RFC 3168), DCTCP's exact echo (RFC 8257).
 */
#include "tcp_pair.h"

enum { ECT0 = 2, CE = 3 };

struct ecn_seen {
	uint32_t ect_data, plain_data, ect_other, ece, cwr; /* of what a side sent */
	uint32_t marked, mark_from, mark_n;                 /* marks data segments mark_from.. of side 0 */
	uint32_t data, drop_at, syns, drop_syns;
	uint32_t seq_max;
	char echo[512]; /* ECE of side 1's ACKs, in order */
	uint32_t echoes;
};
static struct ecn_seen ecn[2];

static enum verdict watch(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *tcp)
{
	struct ecn_seen *s = &ecn[from];
	bool syn = seg->flags & SN_TH_SYN, ect = (pair_tos(tcp) & 3) == ECT0;

	(void)p;
	if (syn)
		return s->syns++ < s->drop_syns ? DROP : PASS;
	s->ece += !!(seg->flags & SN_TH_ECE);
	s->cwr += !!(seg->flags & SN_TH_CWR);
	if (from == 1 && !seg->len && s->echoes < sizeof s->echo)
		s->echo[s->echoes++] = seg->flags & SN_TH_ECE ? 'E' : '-';
	if (!seg->len) {
		s->ect_other += ect;
		return PASS;
	}
	bool again = s->data && !sn_seq_gt(seg->seq, s->seq_max);
	if (!again)
		s->seq_max = seg->seq;
	*(ect ? &s->ect_data : &s->plain_data) += 1;
	if (again && ect)
		s->ect_other++;
	uint32_t i = ++s->data;
	if (i == s->drop_at)
		return DROP;
	if (ect && i >= s->mark_from && i < s->mark_from + s->mark_n) {
		pair_set_tos(tcp, pair_tos(tcp) | CE);
		s->marked++;
	}
	return PASS;
}

static struct pair *ecn_up(const char *cc, uint8_t a, uint8_t b)
{
	struct pair *p = pair_up();

	memset(ecn, 0, sizeof ecn);
	p->cc = cc;
	p->filter = watch;
	p->side[0].e->cfg.tcp.ecn = a;
	p->side[1].e->cfg.tcp.ecn = b;
	return p;
}

static void connect_up(struct pair *p)
{
	dial(p);
	run_for(p, 3 * SN_SEC);
	REQUIRE(p->side[0].sub.established && p->side[1].sub.established);
}

static const struct sn_tcp *sender(const struct pair *p) { return p->side[0].sub.tcp; }

SN_TEST(rfc3168_6_1_1_both_agree_and_new_data_is_marked_as_capable)
{
	struct pair *p = ecn_up("cubic", SN_ECN_ASK, SN_ECN_ACCEPT);

	ecn[0].drop_at = 20;
	connect_up(p);
	CHECK(sender(p)->ccx.ecn && p->side[1].sub.tcp->ccx.ecn);
	offer(&p->side[0].sub, 200000);
	CHECK(run_transfer(p, 10 * SN_SEC));
	CHECK(ecn[0].ect_data > 100);
	CHECK_EQ(ecn[0].plain_data, 1); /* 6.1.5: the retransmission is not */
	CHECK_EQ(ecn[0].ect_other, 0);  /* 6.1.4: nor is any ACK */
	CHECK_EQ(ecn[1].ect_other, 0);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc3168_6_1_1_without_agreement_nothing_is_marked)
{
	struct pair *p = ecn_up("cubic", SN_ECN_ASK, SN_ECN_OFF);

	connect_up(p);
	CHECK(!sender(p)->ccx.ecn && !p->side[1].sub.tcp->ccx.ecn);
	offer(&p->side[0].sub, 50000);
	CHECK(run_transfer(p, 10 * SN_SEC));
	CHECK_EQ(ecn[0].ect_data, 0);
	hang_up(p);
	pair_down(p);
	p = ecn_up("cubic", SN_ECN_ACCEPT, SN_ECN_ACCEPT); /* nobody asks */
	connect_up(p);
	CHECK(!sender(p)->ccx.ecn && !p->side[1].sub.tcp->ccx.ecn);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc3168_6_1_1_1_a_lost_syn_is_sent_again_without_ecn)
{
	struct pair *p = ecn_up("cubic", SN_ECN_ASK, SN_ECN_ACCEPT);

	ecn[0].drop_syns = 1;
	connect_up(p);
	CHECK(!sender(p)->ccx.ecn && !p->side[1].sub.tcp->ccx.ecn);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc3168_6_1_2_and_3_a_mark_is_echoed_until_cwr_and_halves_once)
{
	struct pair *p = ecn_up("newreno", SN_ECN_ASK, SN_ECN_ACCEPT);

	connect_up(p);
	ecn[0].mark_from = 60;
	ecn[0].mark_n = 3;
	offer(&p->side[0].sub, 600000);
	CHECK(run_transfer(p, 20 * SN_SEC));
	CHECK_EQ(ecn[0].marked, 3);
	CHECK_EQ(ecn[0].cwr, 1);
	CHECK_EQ(p->side[0].e->counters.tcp_ecn_reduced, 1);
	CHECK(ecn[1].ece > 1);
	CHECK(strstr(ecn[1].echo, "EE"));
	CHECK_EQ(ecn[1].echo[ecn[1].echoes - 1], '-'); /* it has stopped */
	CHECK(sender(p)->ssthresh < 100 * sender(p)->mss);
	CHECK_EQ(sender(p)->retrans, 0);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc3168_5_a_sender_that_answers_no_marks_is_not_marked_as_capable)
{
	struct pair *p = ecn_up("bbr", SN_ECN_ASK, SN_ECN_ACCEPT);

	connect_up(p);
	CHECK(sender(p)->ccx.ecn && p->side[1].sub.tcp->ccx.ecn);
	offer(&p->side[0].sub, 50000);
	CHECK(run_transfer(p, 10 * SN_SEC));
	CHECK_EQ(ecn[0].ect_data, 0);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc8257_3_2_the_echo_follows_the_marks)
{
	struct pair *p = ecn_up("dctcp", SN_ECN_OFF, SN_ECN_OFF); /* it asks by itself */

	connect_up(p);
	CHECK(sender(p)->ccx.ecn);
	ecn[0].mark_from = 31;
	ecn[0].mark_n = 4;
	offer(&p->side[0].sub, 150000);
	CHECK(run_transfer(p, 20 * SN_SEC));
	CHECK_EQ(ecn[0].marked, 4);
	uint32_t first = 0, n = 0;
	for (uint32_t i = 0; i < ecn[1].echoes; i++)
		if (ecn[1].echo[i] == 'E' && !n++)
			first = i;
	CHECK(n >= 1 && n <= 5);
	for (uint32_t i = 0; i < n; i++)
		CHECK_EQ(ecn[1].echo[first + i], 'E');
	CHECK_EQ(p->side[0].e->counters.tcp_ecn_reduced, 1);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc8257_3_3_alpha_falls_by_a_sixteenth_a_window_without_marks)
{
	struct pair *p = ecn_up("dctcp", SN_ECN_OFF, SN_ECN_OFF);

	connect_up(p);
	CHECK(sender(p)->ccs.dctcp.alpha == 1.0);
	p->rate = 12500000;
	offer(&p->side[0].sub, 3000000);
	CHECK(run_transfer(p, 20 * SN_SEC));
	CHECK(sender(p)->ccs.dctcp.alpha < 0.75 && sender(p)->ccs.dctcp.alpha > 0);
	hang_up(p);
	pair_down(p);
}

PAIR_TEST_MAIN()

/* SPDX-License-Identifier: Apache-2.0
 *
 * TCP Fast Open under MPTCP and TCP (RFC 7413, RFC 8684 appendix B): cookies, data with the SYN, and every way in which it
 * does not work out. What arrives is the same in all of them.
 */
#include "mptcp_pair.h"

enum { EARLY = 700 };

static struct pair p;
static uint32_t syn_len;     /* payload of the last SYN that A sent */
static uint32_t syn_options; /* enum sn_opt_bit of it */
static uint32_t first_ssn;   /* of A's first mapping */
static uint64_t first_dsn;
static uint32_t lose_syns; /* SYNs with data that get lost */
static uint32_t lose_synacks;
static bool spoil; /* cookies change on their way */

static bool watch(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)q, (void)path;
	if (to == B && (seg->flags & SN_TH_SYN)) {
		syn_len = seg->len;
		syn_options = seg->opts;
		for (uint32_t i = SN_TCP_HDR_MIN; spoil && i + 8 <= seg->hdr_len; i++)
			if (tcp[i] == 34 && tcp[i + 1] == 8)
				tcp[i + 2] ^= 1;
		if (seg->len && lose_syns) {
			lose_syns--;
			return false;
		}
	}
	if (to == A && (seg->flags & SN_TH_SYN) && lose_synacks) {
		lose_synacks--;
		return false;
	}
	if (to == B && !first_ssn && (seg->mp.present & SN_MP_BIT(SN_MP_DSS)) && (seg->mp.dss.flags & SN_DSS_MAP)) {
		first_ssn = seg->mp.dss.ssn;
		first_dsn = seg->mp.dss.dsn;
	}
	return true;
}

static void begin(void)
{
	pair_init(&p, 0);
	p.filter = watch;
	syn_len = syn_options = first_ssn = lose_syns = lose_synacks = 0;
	spoil = false;
}

static void serve(uint8_t flags)
{
	pair_submit(&p, B,
		    (struct sn_sqe){.op = SN_OP_LISTEN, .flags = flags, .lport = PEER_PORT, .len = 4, .user = 22});
	pair_run(&p, SN_MSEC);
	CHECK_EQ(p.s[B].listen_res, SN_OK);
}

/* Opens with `len` bytes of the stream as what is sent first. */
static void dial(uint8_t flags, uint32_t len)
{
	struct sn_sqe q = connect_sqe(flags | SN_OPF_FASTOPEN);
	q.off = (uint32_t)(p.s[A].sent % ARENA);
	q.len = len;
	p.s[A].sent += len;
	first_ssn = 0;
	pair_submit(&p, A, q);
}

static void hang_up(void)
{
	pair_op(&p, A, SN_OP_CLOSE);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, 5 * SN_SEC);
	/* The next connection's stream begins anew. */
	p.s[A].sent = p.s[A].got = p.s[A].given_back = 0;
	p.s[B].sent = p.s[B].got = p.s[B].given_back = 0;
	p.s[B].eof = 0;
}

/* A first connection that brings the cookie. */
static void fetch_cookie(uint8_t flags)
{
	dial(flags, 0);
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.s[A].open_res, SN_OK);
	CHECK_EQ(p.s[B].e->counters.tcp_fastopen_given, 1);
	CHECK_EQ(p.s[A].mptcp, !(flags & SN_OPF_TCP));
	hang_up();
}

static void talk(void)
{
	pair_send(&p, A, 300000);
	pair_send(&p, B, 300000);
	pair_run(&p, 5 * SN_SEC);
	pair_check_streams(&p);
}

SN_TEST(the_first_syn_asks_for_a_cookie_and_the_second_carries_data)
{
	begin();
	serve(SN_OPF_FASTOPEN);
	dial(0, EARLY);
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(syn_len, 0);
	CHECK(syn_options & SN_OPT_FASTOPEN);
	CHECK_EQ(p.s[B].got, EARLY); /* behind the handshake */
	talk();
	hang_up();
	dial(0, EARLY);
	pair_run(&p, SN_MSEC);
	CHECK_EQ(syn_len, EARLY);
	CHECK(syn_options & SN_OPT_TS);
	pair_run(&p, 15 * SN_MSEC);
	CHECK_EQ(p.s[B].got, EARLY); /* with the third ACK: nothing was sent behind it */
	CHECK_EQ(p.s[A].e->counters.tcp_fastopen_acked, 1);
	CHECK_EQ(p.s[B].e->counters.tcp_fastopen_taken, 1);
	CHECK_EQ(p.s[A].given_back, EARLY);
	CHECK(p.s[A].mptcp && p.s[B].mptcp);
	talk();
	/* RFC 8684 B.2: no place in the data sequence space, and as Linux counts, none in the subflow's. */
	struct sn_conn_info info;
	uint32_t cursor = 0;
	REQUIRE(sn_engine_conn_info(p.s[A].e, &cursor, &info, 1) == 1);
	CHECK_EQ(info.snd_una - first_dsn + first_ssn, 300001);
	hang_up();
	CHECK_EQ(p.s[A].closed + p.s[B].closed, 4);
	CHECK_EQ(p.seen_rst, 0);
	pair_close(&p);
}

SN_TEST(more_than_a_segment_goes_on_behind_the_handshake)
{
	begin();
	serve(SN_OPF_FASTOPEN);
	fetch_cookie(0);
	dial(0, 20000);
	pair_run(&p, SN_MSEC);
	CHECK(syn_len > 1300);
	CHECK(syn_len < 1460);
	pair_run(&p, 200 * SN_MSEC);
	CHECK_EQ(p.s[B].got, 20000);
	talk();
	pair_close(&p);
}

SN_TEST(data_fin_right_behind_the_early_data)
{
	begin();
	serve(SN_OPF_FASTOPEN);
	fetch_cookie(0);
	dial(0, EARLY);
	pair_run(&p, 12 * SN_MSEC);
	pair_op(&p, A, SN_OP_SHUTDOWN);
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.s[B].eof, 1);
	CHECK_EQ(p.s[B].got, EARLY);
	pair_close(&p);
}

SN_TEST(plain_tcp_has_it_too)
{
	begin();
	serve(SN_OPF_FASTOPEN);
	fetch_cookie(SN_OPF_TCP);
	dial(SN_OPF_TCP, EARLY);
	pair_run(&p, 20 * SN_MSEC);
	CHECK_EQ(syn_len, EARLY);
	CHECK_EQ(p.s[B].got, EARLY);
	CHECK_EQ(p.s[A].e->counters.tcp_fastopen_acked, 1);
	talk();
	pair_close(&p);
}

SN_TEST(a_wrong_cookie_costs_a_round_trip_and_brings_a_new_one)
{
	begin();
	serve(SN_OPF_FASTOPEN);
	fetch_cookie(0);
	spoil = true;
	dial(0, EARLY);
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(syn_len, EARLY);
	CHECK_EQ(p.s[B].e->counters.tcp_fastopen_refused, 1);
	CHECK_EQ(p.s[B].e->counters.tcp_fastopen_taken, 0);
	CHECK_EQ(p.s[B].got, EARLY);
	talk();
	CHECK(p.s[A].mptcp && p.s[B].mptcp);
	CHECK_EQ(first_ssn, 1 + EARLY);
	pair_close(&p);
}

SN_TEST(a_lost_syn_is_repeated_without_data_and_two_in_a_row_mute_the_server)
{
	begin();
	serve(SN_OPF_FASTOPEN);
	fetch_cookie(0);
	for (uint32_t i = 0; i < 2; i++) {
		lose_syns = 1;
		dial(0, EARLY);
		pair_run(&p, 2 * SN_SEC);
		CHECK_EQ(syn_len, 0);
		CHECK(!(syn_options & SN_OPT_FASTOPEN));
		CHECK_EQ(p.s[B].got, EARLY);
		talk();
		hang_up();
	}
	CHECK_EQ(p.s[A].e->counters.tcp_fastopen_sent, 2);
	CHECK_EQ(p.s[A].e->counters.tcp_fastopen_muted, 1);
	dial(0, EARLY);
	pair_run(&p, SN_MSEC);
	CHECK_EQ(syn_len, 0);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[B].got, EARLY);
	CHECK_EQ(p.s[A].e->counters.tcp_fastopen_sent, 2);
	pair_close(&p);
}

SN_TEST(a_lost_answer_is_repeated_and_acknowledges_the_data)
{
	begin();
	serve(SN_OPF_FASTOPEN);
	fetch_cookie(0);
	lose_synacks = 1;
	dial(0, EARLY);
	pair_run(&p, 2 * SN_SEC);
	CHECK_EQ(p.s[A].e->counters.tcp_fastopen_acked, 1);
	CHECK_EQ(p.s[B].got, EARLY);
	CHECK_EQ(p.s[B].bad, 0);
	talk();
	pair_close(&p);
}

SN_TEST(a_server_that_does_not_offer_it_is_asked_in_vain)
{
	begin();
	serve(0);
	for (int i = 0; i < 2; i++) {
		dial(0, EARLY);
		pair_run(&p, SN_SEC);
		CHECK_EQ(syn_len, 0);
		CHECK_EQ(p.s[B].got, EARLY);
		hang_up();
	}
	CHECK_EQ(p.s[A].e->counters.tcp_fastopen_asked, 2);
	CHECK_EQ(p.s[B].e->counters.tcp_fastopen_given, 0);
	pair_close(&p);
}

SN_TEST(a_crowd_of_handshakes_turns_it_off)
{
	begin();
	serve(SN_OPF_FASTOPEN);
	fetch_cookie(0);
	p.s[B].e->mptcp.half += p.s[B].e->mptcp.conns.count;
	dial(0, EARLY);
	pair_run(&p, 8 * SN_MSEC);
	p.s[B].e->mptcp.half -= p.s[B].e->mptcp.conns.count;
	pair_run(&p, 5 * SN_SEC);
	CHECK_EQ(p.s[B].e->counters.tcp_fastopen_taken, 0);
	CHECK_EQ(p.s[B].got, EARLY);
	pair_close(&p);
}

SN_TEST(servers_remembered_are_few_and_the_oldest_makes_room)
{
	begin();
	serve(SN_OPF_FASTOPEN);
	struct sn_tfo_server *s = p.s[A].e->tcp.tfo;
	for (uint32_t i = 0; i < SN_TFO_SERVERS; i++) {
		s[i].addr.b[0] = 0x20; /* nobody here */
		s[i].addr.b[15] = (uint8_t)i;
		s[i].cookie.len = 8;
		s[i].used = 100 + (i * 7 + 3) % SN_TFO_SERVERS;
	}
	uint32_t oldest = 0;
	while ((oldest * 7 + 3) % SN_TFO_SERVERS)
		oldest++;
	struct sn_addr gone = s[oldest].addr;
	fetch_cookie(0);
	CHECK(!sn_addr_eq(&s[oldest].addr, &gone));
	struct sn_addr server = pair_addr(0, 2);
	CHECK(sn_addr_eq(&s[oldest].addr, &server));
	dial(0, EARLY);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[A].e->counters.tcp_fastopen_acked, 1);
	pair_close(&p);
}

SN_TEST(data_from_outside_the_arena_ends_the_session)
{
	begin();
	struct sn_sqe q = connect_sqe(SN_OPF_FASTOPEN);
	q.off = ARENA - 1;
	q.len = 2;
	pair_submit(&p, A, q);
	pair_run(&p, SN_MSEC);
	CHECK_EQ(p.s[A].e->counters.app_violation, 1);
	pair_close(&p);
}

PAIR_TEST_MAIN()

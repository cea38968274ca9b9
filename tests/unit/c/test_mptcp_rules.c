/* SPDX-License-Identifier: Apache-2.0
 *
 * Rules of RFC 8684 that a calm connection never needs: keys that collide, 32-bit numbers that wrap, an id that gets another
 * address, a join whose answers lose their options, wrong bytes when MPTCP cannot be left any more.
 */
#include "mptcp_look.h"

static uint64_t fixed_key;
static uint32_t fixed_draws; /* how often it is drawn before chance has its way */

static void draw(void *ctx, void *out, size_t n)
{
	if (n == sizeof fixed_key && fixed_draws) {
		fixed_draws--;
		memcpy(out, &fixed_key, n);
		return;
	}
	pair_random(ctx, out, n);
}

static const struct sn_conn *conn_at(int side, uint32_t id)
{
	return sn_slab_at(&p.s[side].e->mptcp.conns, id & ((1u << SN_CONN_INDEX_BITS) - 1));
}

SN_TEST(keys_come_from_chance_and_are_drawn_again_if_the_token_is_taken)
{
	memset(&seen, 0, sizeof seen);
	pair_init(&p, 0);
	p.filter = look;
	p.s[A].e->cfg.hooks.random = draw;
	fixed_key = 0x0123456789abcdefull;
	fixed_draws = 1;
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	uint32_t first = p.s[A].conn;
	CHECK_EQ(conn_at(A, first)->local_key, fixed_key);
	fixed_draws = 3;
	pair_submit(&p, A, connect_sqe(0));
	pair_run(&p, 50 * SN_MSEC);
	CHECK_EQ(fixed_draws, 0); /* each was refused */
	REQUIRE(p.s[A].conn != first);
	CHECK(conn_at(A, p.s[A].conn)->local_key != fixed_key);
	CHECK(conn_at(A, p.s[A].conn)->token != conn_at(A, first)->token);
	CHECK(p.s[A].mptcp);
	/* Nothing but taken keys: the connection is plain TCP. */
	fixed_draws = UINT32_MAX;
	pair_submit(&p, A, connect_sqe(0));
	pair_run(&p, 50 * SN_MSEC);
	CHECK(!p.s[A].mptcp);
	CHECK_EQ(p.s[A].e->counters.MPFallbackTokenInit, 1);
	pair_close(&p);
}

/* Mappings with 32-bit numbers: four bytes less, made up for by NOPs. Now and then one that lies 2^31 away. */
static bool narrow(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	uint8_t *o = option(seg, tcp, 2);
	if (to != B || !o || !(o[3] & SN_DSS_MAP) || !(o[3] & SN_DSS_DSN64))
		return true;
	uint8_t *dsn = o + 4 + (o[3] & SN_DSS_ACK64 ? 8 : 4), *end = o + o[1];
	if (q->state && seg->len && !(seg->mp.dss.ssn % 7)) {
		dsn[4] ^= 0x80;
		q->state--;
	}
	memmove(dsn, dsn + 4, (size_t)(end - dsn - 4));
	memset(end - 4, 1, 4);
	o[1] -= 4;
	o[3] &= (uint8_t)~SN_DSS_DSN64;
	return true;
}

/* Numbers that wrap after some 60 to 120 KiB. */
static void begin_near_the_wrap(void)
{
	uint64_t idsn = 0;
	uint32_t token;

	memset(&seen, 0, sizeof seen);
	pair_init(&p, 0);
	p.filter = narrow;
	p.s[A].e->cfg.hooks.random = draw;
	while ((uint32_t)idsn < UINT32_MAX - 120000 || (uint32_t)idsn > UINT32_MAX - 60000)
		sn_mp_key_digest(++fixed_key, &token, &idsn);
	fixed_draws = 1;
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	CHECK_EQ(conn_at(A, p.s[A].conn)->idsn, idsn);
}

SN_TEST(numbers_of_32_bits_are_extended_over_their_wrap)
{
	begin_near_the_wrap();
	uint64_t before = conn_at(B, p.s[B].conn)->rcv_nxt;
	pair_send(&p, A, 300000);
	pair_run(&p, 2 * SN_SEC);
	pair_check_streams(&p);
	CHECK_EQ(conn_at(B, p.s[B].conn)->rcv_nxt - before, 300000);
	CHECK_EQ(conn_at(B, p.s[B].conn)->rcv_nxt >> 32, (before >> 32) + 1);
	CHECK(p.s[B].mptcp);
	CHECK_EQ(p.s[B].e->counters.conn_fallback, 0);
	pair_close(&p);
}

SN_TEST(number_half_a_wrap_away_is_no_data_of_this_connection)
{
	pair_single = true;
	begin_near_the_wrap();
	p.state = 3;
	pair_send(&p, A, 300000);
	pair_run(&p, 10 * SN_SEC);
	CHECK_EQ(p.state, 0);
	pair_check_streams(&p);
	CHECK_EQ(p.s[B].e->counters.conn_fallback, 0);
	pair_close(&p);
	pair_single = false;
}

static uint32_t told_removed, told_again;

static bool watch_id(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	struct sn_addr other = pair_addr(2, 2);
	if (to != A)
		return true;
	q->state++;
	if (seg->mp.present & SN_MP_BIT(SN_MP_REMOVE_ADDR))
		for (uint32_t i = 0; i < seg->mp.remove_addr.n; i++)
			if (seg->mp.remove_addr.id[i] == 2 && !told_removed)
				told_removed = q->state;
	if ((seg->mp.present & SN_MP_BIT(SN_MP_ADD_ADDR)) && !seg->mp.add_addr.echo && seg->mp.add_addr.id == 2 &&
	    sn_addr_eq(&seg->mp.add_addr.addr, &other) && !told_again)
		told_again = q->state;
	return true;
}

SN_TEST(id_is_removed_before_it_gets_another_address)
{
	begin(2, 0);
	told_removed = told_again = p.state = 0;
	p.filter = watch_id;
	struct sn_addr other = pair_addr(2, 2);
	struct sn_endpoint ep = {.id = 2, .flags = SN_EP_SIGNAL, .nic_port = 2};
	memcpy(ep.addr, other.b, 16);
	CHECK_EQ(sn_engine_endpoint_del(p.s[B].e, 2, p.now), SN_OK);
	CHECK_EQ(sn_engine_endpoint_add(p.s[B].e, &ep, p.now), SN_OK);
	pair_run(&p, 2 * SN_SEC);
	CHECK(told_removed);
	CHECK(told_again);
	CHECK(told_removed < told_again);
	CHECK_EQ(pair_subflows(&p, A), 2);
	CHECK_EQ(conn_at(A, p.s[A].conn)->e->counters.AddAddrDrop, 0);
	close_both();
}

/* The server's side of a join arrives without MPTCP options. */
static bool strip_join(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	if (to == A && path == 1 && !(seg->flags & (SN_TH_SYN | SN_TH_RST)))
		for (uint32_t i = 20; i < seg->hdr_len; i += tcp[i] <= 1 ? 1 : tcp[i + 1])
			if (tcp[i] == 30)
				memset(tcp + i, 1, tcp[i + 1]);
	return true;
}

SN_TEST(join_that_is_answered_without_a_data_ack_is_reset_with_the_reason)
{
	memset(&seen, 0, sizeof seen);
	pair_init(&p, 0);
	p.filter = strip_join;
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 100000);
	pair_run(&p, 5 * SN_SEC);
	CHECK_EQ(seen.rst_reason, SN_RST_MIDDLEBOX);
	pair_check_streams(&p);
	CHECK_EQ(p.s[A].e->counters.conn_fallback + p.s[B].e->counters.conn_fallback, 0);
	pair_close(&p);
}

static bool spoil(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	if (q->state == 1 && to == B && seg->len > 100) {
		tcp[seg->hdr_len + 50] ^= 1;
		q->state = 2;
	}
	return true;
}

SN_TEST(wrong_checksum_on_the_last_of_several_subflows_is_a_reset_with_mp_fail_and_no_wrong_byte)
{
	begin(2, SN_OPF_CSUM);
	CHECK_EQ(sn_engine_endpoint_del(p.s[B].e, 2, p.now), SN_OK);
	pair_run(&p, SN_SEC);
	REQUIRE(pair_subflows(&p, A) == 1);
	p.filter = spoil;
	p.state = 1;
	pair_send(&p, A, 100000);
	pair_run(&p, 20 * SN_SEC);
	CHECK_EQ(p.state, 2);
	CHECK(seen.fail_on_rst >= 1);
	CHECK_EQ(seen.infinite, 0);
	pair_check_streams(&p);
	pair_close(&p);
}

PAIR_TEST_MAIN()

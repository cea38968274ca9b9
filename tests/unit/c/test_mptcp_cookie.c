/* SPDX-License-Identifier: Apache-2.0
 *
 * SYN cookies (RFC 4987 3.6): what survives them, what they cost, what a flood of SYNs cannot do. Over both families.
 */
#include "mptcp_pair.h"

enum { STRANGER = 200 }; /* a host on B's network that does not exist */

static struct pair p;

static void settle_and_close(void)
{
	for (int i = 0; i < 2; i++)
		sn_engine_channel_detach(p.s[i].e, (uint32_t)p.s[i].slot, p.now);
	pair_run(&p, 100 * SN_SEC);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(p.s[i].pool.bad, 0);
		CHECK_EQ(p.s[i].pool.out, 0);
	}
	pair_close(&p);
}

static const struct sn_counters *at_b(void) { return &p.s[B].e->counters; }

static void begin(enum sn_cookie_mode mode)
{
	pair_init(&p, 0);
	p.s[B].e->cfg.tcp.cookies = (uint8_t)mode;
}

/* A segment from `host` of the first network to B's port. */
static void inject(uint32_t host, struct sn_tcp_seg s, const uint8_t *opts, uint32_t n, uint32_t payload)
{
	static const uint8_t to[6] = {2, 0, 0, 0, 0, 2}, from[6] = {2, 9, 9, 9, 9, 9};
	struct sn_addr src = pair_addr(0, host), dst = pair_addr(0, 2);
	struct sn_buf *b = sn_buf_alloc(&p.s[B].pool.pool);
	uint32_t len = SN_TCP_HDR_MIN + n + payload, at;

	s.dport = PEER_PORT;
	s.wnd = 60000;
	at = pair_emit_headers(b->data, to, from, &src, &dst, len);
	sn_tcp_emit(b->data + at, &s, n);
	if (n)
		memcpy(b->data + at + SN_TCP_HDR_MIN, opts, n);
	memset(b->data + at + SN_TCP_HDR_MIN + n, 0, payload);
	b->len = at + len;
	b->port = 0;
	b->flags = SN_BUF_CSUM_GOOD;
	sn_engine_rx(p.s[B].e, &b, 1, p.now);
}

static void spoof_syn(uint32_t host, uint16_t sport)
{
	struct sn_mp_capable c = {.len = 4, .version = 1, .flags = SN_MPC_HMAC_SHA256};
	uint8_t opts[SN_TCP_OPT_MAX];
	uint32_t n = sn_opt_emit_mss(opts, 1460);

	n += sn_mp_emit_capable(opts + n, &c);
	inject(host, (struct sn_tcp_seg){.sport = sport, .seq = sport * 77u, .flags = SN_TH_SYN}, opts, n, 0);
}

static struct sn_conn *only_conn(int side)
{
	struct sn_conn *found = NULL;

	for (uint32_t i = 0; i < p.s[side].e->mptcp.conns.count; i++) {
		struct sn_conn *c = sn_slab_at(&p.s[side].e->mptcp.conns, i);
		if (c) {
			CHECK(!found);
			found = c;
		}
	}
	return found;
}

static struct sn_tcp_details details(int side)
{
	struct sn_tcp_details d = {0};
	struct sn_conn *c = only_conn(side);

	if (c && c->sf[0])
		c->ops->details(c->sf[0]->tcp, &d);
	return d;
}

static void exchange(void)
{
	pair_send(&p, A, 300000);
	pair_run(&p, SN_SEC);
	pair_send(&p, B, 300000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
}

SN_TEST(a_connection_made_of_a_cookie_keeps_mptcp_window_scale_sack_and_timestamps)
{
	begin(SN_COOKIES_ALWAYS);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	CHECK_EQ(p.s[A].opened + p.s[B].opened, 2);
	CHECK(p.s[A].mptcp && p.s[B].mptcp);
	CHECK_EQ(at_b()->SyncookiesSent, 1);
	CHECK_EQ(at_b()->SyncookiesRecv, 1);
	CHECK_EQ(at_b()->MPCapableACKRX, 1);
	REQUIRE(only_conn(B));
	CHECK(only_conn(B)->fully);
	struct sn_tcp_details a = details(A), b = details(B);
	CHECK_EQ(b.options, a.options);
	CHECK_EQ(b.options & (SN_TCPI_TS | SN_TCPI_SACK | SN_TCPI_WSCALE), SN_TCPI_TS | SN_TCPI_SACK | SN_TCPI_WSCALE);
	CHECK_EQ(b.snd_wscale, a.rcv_wscale);
	CHECK_EQ(a.snd_wscale, b.rcv_wscale);
	exchange();
	CHECK_EQ(p.s[A].e->counters.tcp_paws + at_b()->tcp_paws, 0);
	settle_and_close();
}

SN_TEST(joins_find_a_connection_made_of_a_cookie)
{
	begin(SN_COOKIES_ALWAYS);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	exchange();
	CHECK_EQ(pair_subflows(&p, B), 2);
	CHECK_EQ(at_b()->MPJoinAckRx, 1);
	settle_and_close();
}

SN_TEST(checksums_that_one_side_asked_for_survive_a_cookie)
{
	begin(SN_COOKIES_ALWAYS);
	pair_connect(&p, SN_OPF_CSUM);
	pair_run(&p, 50 * SN_MSEC);
	REQUIRE(only_conn(A) && only_conn(B));
	CHECK(only_conn(A)->csum && only_conn(B)->csum);
	exchange();
	CHECK_EQ(at_b()->DataCsumErr, 0);
	settle_and_close();
}

SN_TEST(plain_tcp_takes_a_cookie_too)
{
	begin(SN_COOKIES_ALWAYS);
	pair_connect(&p, SN_OPF_TCP);
	pair_run(&p, 50 * SN_MSEC);
	CHECK_EQ(at_b()->SyncookiesRecv, 1);
	CHECK(!p.s[B].mptcp);
	exchange();
	settle_and_close();
}

/* The first pure ACK to B is lost: data with the keys (or with the FIN) opens the connection. */
static bool lose_third_ack(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)path, (void)tcp;
	if (to != B || seg->flags != SN_TH_ACK || seg->len || q->state)
		return true;
	q->state = 1;
	return false;
}

SN_TEST(data_opens_the_connection_when_the_third_ack_is_lost)
{
	begin(SN_COOKIES_ALWAYS);
	p.filter = lose_third_ack;
	pair_connect(&p, 0);
	pair_run(&p, 20 * SN_MSEC);
	CHECK_EQ(p.s[B].opened, 0);
	pair_send(&p, A, 3000);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[B].opened, 1);
	CHECK(p.s[B].mptcp);
	exchange();
	settle_and_close();
}

SN_TEST(a_fin_opens_and_closes_when_the_third_ack_is_lost)
{
	begin(SN_COOKIES_ALWAYS);
	p.filter = lose_third_ack;
	pair_connect(&p, SN_OPF_TCP);
	pair_run(&p, 20 * SN_MSEC);
	pair_op(&p, A, SN_OP_SHUTDOWN);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[B].opened, 1);
	CHECK_EQ(p.s[B].eof, 1);
	settle_and_close();
}

/* A third ACK of MPTCP whose MP_CAPABLE went, but not its timestamps. */
static bool strip_third_ack(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)q, (void)path;
	if (to == B && seg->mp.present && !(seg->flags & SN_TH_SYN))
		memset(tcp + SN_TCP_HDR_MIN + 12, 1, seg->hdr_len - SN_TCP_HDR_MIN - 12u);
	return true;
}

SN_TEST(a_middlebox_that_strips_the_third_ack_leaves_plain_tcp)
{
	begin(SN_COOKIES_ALWAYS);
	p.filter = strip_third_ack;
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	CHECK_EQ(p.s[B].opened, 1);
	CHECK(!p.s[B].mptcp);
	exchange();
	settle_and_close();
}

SN_TEST(a_flood_of_syns_takes_no_records_and_a_client_still_gets_mptcp)
{
	begin(SN_COOKIES_PRESSED);
	struct sn_engine *e = p.s[B].e;
	pair_submit(&p, B, (struct sn_sqe){.op = SN_OP_LISTEN, .lport = PEER_PORT, .len = 65536, .user = 22});
	pair_run(&p, SN_MSEC);
	for (uint32_t i = 0; i < 5000; i++) {
		spoof_syn(STRANGER, (uint16_t)i);
		if (i == 2500)
			pair_submit(&p, A, connect_sqe(0));
		pair_run(&p, SN_MSEC / 50);
	}
	CHECK_EQ(e->mptcp.half, e->mptcp.conns.count / 4);
	CHECK_EQ(e->mptcp.conns.peak, e->mptcp.half + 1);
	CHECK_EQ(at_b()->tcp_syn_evicted, 0);
	CHECK_EQ(at_b()->SyncookiesRecv, 1);
	CHECK_EQ(p.s[B].opened, 1);
	CHECK(p.s[A].mptcp && p.s[B].mptcp);
	exchange();
	/* Handshakes that nobody goes on with expire, and SYNs leave records again. */
	pair_run(&p, 60 * SN_SEC);
	CHECK_EQ(e->mptcp.half, 0);
	uint64_t sent = at_b()->SyncookiesSent;
	spoof_syn(STRANGER, 1);
	CHECK_EQ(e->mptcp.half, 1);
	CHECK_EQ(at_b()->SyncookiesSent, sent);
	settle_and_close();
}

SN_TEST(made_up_neighbours_are_asked_for_at_a_bounded_rate)
{
	begin(SN_COOKIES_ALWAYS);
	struct sn_engine *e = p.s[B].e;
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	uint64_t asked = at_b()->arp_tx + at_b()->nd_tx;
	for (uint32_t i = 0; i < 2000; i++) {
		spoof_syn(3 + i % 250, (uint16_t)i);
		pair_run(&p, SN_MSEC / 10);
	}
	CHECK(at_b()->arp_tx + at_b()->nd_tx - asked <= 2 * SN_STRANGER_RATE);
	CHECK(at_b()->tcp_cookie_strange > 1500);
	CHECK(e->net.neighs.used <= 251);
	exchange();
	settle_and_close();
}

/* The filter notes the cookie's SYN/ACK and the third ACK, and loses the latter. */
static struct sn_tcp_seg third;
static bool keep_third_ack(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)q, (void)path, (void)tcp;
	if (to != B || (seg->flags & SN_TH_SYN))
		return true;
	if (!third.flags)
		third = *seg;
	return false;
}

/* The third ACK, with `wrong` added to what it acknowledges. */
static void play_third(uint32_t wrong, uint32_t payload)
{
	struct sn_tcp_seg s = {.sport = third.sport, .seq = third.seq, .ack = third.ack + wrong, .flags = SN_TH_ACK};
	uint8_t opts[SN_TCP_OPT_MAX];
	uint32_t n = sn_opt_emit_ts(opts, third.ts_val, third.ts_ecr);

	if (third.mp.present & SN_MP_BIT(SN_MP_CAPABLE))
		n += sn_mp_emit_capable(opts + n, &third.mp.capable);
	inject(1, s, opts, n, payload);
}

static void get_third_ack(uint8_t flags)
{
	begin(SN_COOKIES_ALWAYS);
	third.flags = 0;
	p.filter = keep_third_ack;
	pair_connect(&p, flags);
	pair_run(&p, 20 * SN_MSEC);
	REQUIRE(third.flags);
	CHECK_EQ(p.s[B].e->mptcp.conns.used, 0);
	pair_op(&p, A, SN_OP_ABORT);
}

SN_TEST(forged_cookies_open_nothing)
{
	get_third_ack(0);
	for (uint32_t i = 1; i < 3000; i++)
		play_third(i * 2654435761u, 0);
	CHECK(at_b()->SyncookiesFailed > 2950);
	CHECK_EQ(at_b()->SyncookiesRecv, 0);
	CHECK(at_b()->tcp_rst_tx <= SN_RST_RATE);
	CHECK_EQ(p.s[B].e->mptcp.conns.used, 0);
	play_third(0, 0);
	CHECK_EQ(at_b()->SyncookiesRecv, 1);
	settle_and_close();
}

SN_TEST(a_cookie_is_good_for_a_minute_but_not_for_two)
{
	get_third_ack(0);
	pair_run(&p, 60 * SN_SEC);
	play_third(0, 0);
	CHECK_EQ(at_b()->SyncookiesRecv, 1);
	settle_and_close();

	get_third_ack(0);
	pair_run(&p, 98 * SN_SEC);
	play_third(0, 0);
	CHECK_EQ(at_b()->SyncookiesRecv, 0);
	CHECK_EQ(at_b()->SyncookiesFailed, 1);
	CHECK_EQ(at_b()->tcp_rst_tx, 1);
	/* No cookie can be out any more: nobody looks. */
	pair_run(&p, 10 * SN_SEC);
	play_third(0, 0);
	CHECK_EQ(at_b()->SyncookiesFailed, 1);
	CHECK_EQ(at_b()->tcp_rst_tx, 2);
	settle_and_close();
}

SN_TEST(a_cookie_for_another_port_is_none_and_later_segments_wait_for_the_first)
{
	get_third_ack(SN_OPF_TCP);
	third.sport++;
	play_third(0, 0);
	CHECK_EQ(at_b()->SyncookiesFailed, 1);
	CHECK_EQ(at_b()->tcp_rst_tx, 1);
	third.sport--;
	for (uint32_t i = 1; i < 65; i++) {
		third.seq += 1000;
		play_third(0, 1000);
	}
	CHECK_EQ(at_b()->SyncookiesFailed, 1);
	CHECK_EQ(at_b()->tcp_rst_tx, 1);
	/* So far behind nobody sends whose connection was not opened: its subflow is gone, and it has to hear so. */
	third.seq += 80000;
	play_third(0, 1000);
	CHECK_EQ(at_b()->tcp_rst_tx, 2);
	third.seq -= 144000;
	CHECK_EQ(at_b()->SyncookiesRecv, 0);
	play_third(0, 1000);
	CHECK_EQ(at_b()->SyncookiesRecv, 1);
	settle_and_close();
}

SN_TEST(a_wrong_key_with_a_good_cookie_is_plain_tcp_and_mptcp_without_keys_waits)
{
	get_third_ack(0);
	third.mp.present = 0;
	struct sn_mp_dss d = {.flags = SN_DSS_ACK};
	uint8_t opts[SN_TCP_OPT_MAX];
	uint32_t n = sn_opt_emit_ts(opts, third.ts_val, third.ts_ecr);
	n += sn_mp_emit_dss(opts + n, &d);
	inject(1, (struct sn_tcp_seg){.sport = third.sport, .seq = third.seq, .ack = third.ack, .flags = SN_TH_ACK},
	       opts, n, 0);
	CHECK_EQ(p.s[B].e->mptcp.conns.used, 0);
	third.mp.present = SN_MP_BIT(SN_MP_CAPABLE);
	third.mp.capable.receiver_key++;
	play_third(0, 0);
	REQUIRE(only_conn(B));
	CHECK(!only_conn(B)->mptcp);
	settle_and_close();
}

SN_TEST(the_same_cookie_twice_makes_one_mptcp_connection)
{
	get_third_ack(0);
	play_third(0, 0);
	struct sn_conn *c = only_conn(B);
	REQUIRE(c && c->mptcp);
	/* As if its first subflow had ended while others live. */
	sn_sf_reset(c->sf[0], SN_RST_NONE, p.now);
	play_third(0, 0);
	CHECK_EQ(at_b()->MPFallbackTokenInit, 1);
	CHECK_EQ(at_b()->SyncookiesRecv, 2);
	settle_and_close();
}

SN_TEST(keys_of_cookies_name_the_worker_and_come_to_nobody_else)
{
	begin(SN_COOKIES_ALWAYS);
	p.s[B].e->cfg.workers = 3;
	p.s[B].e->cfg.worker = 2;
	third.flags = 0;
	p.filter = keep_third_ack;
	pair_connect(&p, 0);
	pair_run(&p, 20 * SN_MSEC);
	REQUIRE(third.flags);
	pair_op(&p, A, SN_OP_ABORT);
	uint32_t token;
	uint64_t idsn;
	sn_mp_key_digest(third.mp.capable.receiver_key, &token, &idsn);
	CHECK_EQ(token % 3, 2);
	p.s[B].e->cfg.worker = 1;
	play_third(0, 0);
	CHECK_EQ(at_b()->SyncookiesRecv, 0);
	p.s[B].e->cfg.worker = 2;
	play_third(0, 0);
	CHECK_EQ(at_b()->SyncookiesRecv, 1);
	REQUIRE(only_conn(B));
	CHECK_EQ(only_conn(B)->token, token);
	settle_and_close();
}

SN_TEST(a_third_ack_waits_while_nobody_accepts_or_no_record_is_left)
{
	get_third_ack(0);
	struct sn_engine *e = p.s[B].e;
	struct sn_listener *l = NULL;
	for (uint32_t i = 0; !l; i++)
		l = sn_slab_at(&e->mptcp.listeners, i);
	l->pending = l->backlog;
	play_third(0, 100);
	CHECK_EQ(at_b()->ListenOverflows, 1);
	spoof_syn(STRANGER, 1);
	CHECK_EQ(at_b()->ListenOverflows, 2);
	CHECK_EQ(at_b()->tcp_syn_drop, 1);
	l->pending = 0;
	void *taken[64];
	uint32_t n = 0;
	while (n < 64 && (taken[n] = sn_slab_take(&e->mptcp.subflows)))
		n++;
	play_third(0, 100);
	CHECK_EQ(at_b()->tcp_syn_drop, 2);
	while (n)
		sn_slab_put(&e->mptcp.subflows, taken[--n]);
	struct sn_conn *c[16];
	while (n < 16 && (c[n] = sn_slab_take(&e->mptcp.conns)))
		n++;
	play_third(0, 100);
	CHECK_EQ(at_b()->tcp_syn_drop, 3);
	while (n)
		sn_slab_put(&e->mptcp.conns, c[--n]);
	CHECK_EQ(at_b()->tcp_rst_tx, 0);
	CHECK_EQ(e->mptcp.conns.used, 0);
	/* The peer sends its data again. */
	play_third(0, 100);
	CHECK_EQ(at_b()->SyncookiesRecv, 1);
	settle_and_close();
}

SN_TEST(acks_to_ports_without_a_listener_are_reset_while_cookies_are_out)
{
	get_third_ack(0);
	pair_submit(&p, B, (struct sn_sqe){.op = SN_OP_UNLISTEN, .user = 22});
	pair_run(&p, SN_MSEC);
	play_third(0, 0);
	CHECK_EQ(at_b()->tcp_rst_tx, 1);
	CHECK_EQ(at_b()->SyncookiesFailed, 0);
	settle_and_close();
}

SN_TEST(without_timestamps_a_cookie_offers_neither_scaling_nor_sack)
{
	begin(SN_COOKIES_ALWAYS);
	third.flags = 0;
	pair_submit(&p, B, (struct sn_sqe){.op = SN_OP_LISTEN, .lport = PEER_PORT, .len = 4, .user = 22});
	pair_run(&p, SN_MSEC);
	struct sn_tcp_cookie_ops const *ops = p.s[B].e->tcp_ops->cookie;
	struct sn_flow f = {.local = pair_addr(0, 2), .remote = pair_addr(0, 1), .lport = PEER_PORT, .rport = 999};
	static const uint16_t said[] = {0, 60, 88, 535, 536, 1000, 1219, 1220, 1460, 8940, 9000};
	for (uint32_t i = 0; i < sizeof said / sizeof said[0]; i++) {
		struct sn_tcp_seg syn = {
			.seq = 5, .flags = SN_TH_SYN, .opts = said[i] ? SN_OPT_MSS : 0, .mss = said[i]};
		struct sn_tcp_seg ack = {.seq = 6, .flags = SN_TH_ACK}, got;
		ack.ack = ops->make(p.s[B].e, &f, &syn, p.now) + 1;
		REQUIRE(ops->open(p.s[B].e, &f, &ack, &got, p.now) == SN_COOKIE_GOOD);
		CHECK_EQ(got.opts, SN_OPT_MSS);
		CHECK(got.mss <= SN_MAX(said[i] ? said[i] : 1220, 88));
		CHECK(got.mss * 10 >= said[i] * 4);
		CHECK_EQ(got.seq, 5);
	}
	settle_and_close();
}

static struct sn_buf *no_buffer(struct sn_pool *pool) { return (void)pool, NULL; }

SN_TEST(no_buffer_or_no_route_means_no_cookie)
{
	begin(SN_COOKIES_ALWAYS);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	struct sn_engine *e = p.s[B].e;
	const struct sn_tcp_cookie_ops *ops = e->tcp_ops->cookie;
	struct sn_tcp_seg syn = {.seq = 5, .flags = SN_TH_SYN};
	struct sn_tcp_open o = {.flow = {.local = pair_addr(0, 2), .remote = pair_addr(77, 1)}};
	ops->send(e, &o, &syn, 1000, NULL, 0, p.now); /* nowhere */
	CHECK_EQ(at_b()->tcp_cookie_strange, 1);
	o.flow.remote = pair_addr(0, 1);
	struct sn_pool *pool = e->cfg.pool;
	struct sn_buf *(*alloc)(struct sn_pool *) = pool->alloc;
	pool->alloc = no_buffer;
	ops->send(e, &o, &syn, 1000, NULL, 0, p.now);
	pool->alloc = alloc;
	CHECK_EQ(at_b()->tx_nobuf, 1);
	CHECK_EQ(at_b()->SyncookiesSent, 1);
	settle_and_close();
}

PAIR_TEST_MAIN()

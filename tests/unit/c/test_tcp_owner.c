/* SPDX-License-Identifier: Apache-2.0
 *
 * The door of the engine (sn_tcp_ops.h) at awkward times: calls too early and too late, owners that end the flow inside a
 * callback, and records or buffers that have run out.
 */
#include "tcp_pair.h"

static struct sn_tcp *tcp(struct pair *p, int i) { return p->side[i].sub.tcp; }

static struct sn_tcp_open open_of(struct side *s, uint16_t lport)
{
	struct sn_tcp_open o = {.owner = &s->sub, .up = &up, .isn = 1, .rcv_space = 65535};

	o.flow = (struct sn_flow){sn_addr_v4(0x0a000001u + (uint32_t)s->i), sn_addr_v4(0x0a000001u + (uint32_t)!s->i),
				  lport, 80};
	return o;
}

/* From here on side `i` gets no buffer. */
static void dry(struct pair *p, int i) { p->side[i].pool.limit = p->side[i].pool.out; }
static void refill(struct pair *p, int i) { p->side[i].pool.limit = SN_SIM_POOL_SLAB * SN_SIM_POOL_MAX_SLABS; }

static uint32_t sent_by(const struct pair *p, int from)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->nseen; i++)
		n += p->seen[i].from == from;
	return n;
}

/* --- calls too early and too late --------------------------------------------------------------------------------- */

SN_TEST(rfc9293_3_10_2_send_outside_a_connection_is_an_error)
{
	struct pair *p = pair_up();
	struct sn_chunk c = {.data = p->pattern, .len = 1000};

	dial(p);
	CHECK_EQ(ops->send(tcp(p, 0), &c, 0, 1000, 0, p->now), SN_E_NOTCONN);
	run_for(p, 100 * SN_MSEC);
	ops->fin(tcp(p, 0), p->now);
	CHECK_EQ(ops->send(tcp(p, 0), &c, 0, 1000, 0, p->now), SN_E_PIPE);
	CHECK_EQ(c.refs, 0);
	pair_down(p);
}

SN_TEST(send_ends_where_the_chunks_end)
{
	struct pair *p = pair_connected();
	struct sn_chunk c = {.data = p->pattern, .len = 100};

	CHECK_EQ(ops->send(tcp(p, 0), &c, 0, 500, 0, p->now), 100);
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(p->side[1].sub.received, 100);
	CHECK_EQ(c.refs, 0);
	pair_down(p);
}

SN_TEST(before_the_handshake_there_is_nothing_to_acknowledge_probe_or_repeat)
{
	struct pair *p = pair_up();

	p->side[1].sub.refuse = p->side[1].silent = true;
	dial(p);
	run_for(p, 100 * SN_MSEC);
	uint32_t before = sent_by(p, 0);
	ops->credit(tcp(p, 0), p->now);
	ops->ack_now(tcp(p, 0), p->now);
	ops->probe(tcp(p, 0), p->now);
	ops->kick(tcp(p, 0), p->now);
	settle(p);
	CHECK_EQ(sent_by(p, 0), before);
	CHECK_EQ(ops->room(tcp(p, 0), p->now), 0);
	CHECK(sn_flow_eq(ops->flow(tcp(p, 0)), &tcp(p, 0)->flow));
	pair_down(p);
}

SN_TEST(owner_that_leaves_in_the_handshake_ends_it)
{
	for (int i = 0; i < 2; i++) { /* SYN_SENT, SYN_RCVD */
		struct pair *p = pair_up();
		p->side[0].silent = i == 1;
		dial(p);
		run_for(p, i ? 12 * SN_MSEC : 0);
		while (!tcp(p, i))
			REQUIRE(step(p, p->now + SN_SEC));
		REQUIRE(tcp(p, i)->state == (i ? SN_TCP_SYN_RCVD : SN_TCP_SYN_SENT));
		ops->detach(tcp(p, i), p->now);
		p->side[i].sub.tcp = NULL;
		settle(p);
		CHECK_EQ(p->side[i].e->tcp.conns.used, 0);
		CHECK_EQ(p->side[i].sub.closed, 0);
		/* RFC 9293 3.10.5: a peer that may know of the connection is told. */
		CHECK_EQ(count_from(p, i, SN_TH_RST), i);
		pair_down(p);
	}
}

SN_TEST(window_probes_end_when_the_window_is_accounted_above)
{
	struct pair *p = pair_connected();
	struct sn_subflow *b = &p->side[1].sub;

	b->hold = true;
	offer(&p->side[0].sub, 4 << 20);
	run_for(p, 5 * SN_SEC);
	REQUIRE(tcp(p, 0)->clock == SN_CLOCK_PERSIST);
	ops->set_shared_window(tcp(p, 0), true, 0);
	uint64_t probes = p->side[0].e->counters.tcp_probes;
	run_for(p, 100 * SN_SEC);
	CHECK(probes > 0);
	CHECK_EQ(p->side[0].e->counters.tcp_probes, probes);
	pair_down(p);
}

SN_TEST(unknown_names_are_refused)
{
	struct sn_tcp_cfg cfg, before;

	sn_tcp_cfg_default(&cfg);
	before = cfg;
	CHECK(!sn_tcp_cfg_profile(&cfg, "moon"));
	CHECK(cfg.rto_min == before.rto_min && cfg.delack == before.delack);
	CHECK(!sn_tcp_ops_find("moon"));
	CHECK(!sn_tcp_ops_find(NULL));
	CHECK(sn_tcp_ops_find("native") == ops);
}

/* --- owners that end the flow inside a callback ------------------------------------------------------------------- */

enum where { AT_SYNACK, AT_RST, AT_PROBE, AT_CLOSED, WHERE };

static bool rude_segment(struct sn_subflow *s, const struct sn_tcp_seg *seg, struct sn_buf *payload, sn_time now)
{
	enum where at = s->pair->script[7];

	(void)payload;
	if (s->side->i == 0 &&
	    ((at == AT_SYNACK && (seg->flags & SN_TH_SYN)) || (at == AT_RST && (seg->flags & SN_TH_RST))))
		ops->reset(s->tcp, now);
	return true;
}
static void rude_acked(struct sn_subflow *s, sn_time now)
{
	if (s->pair->script[7] == AT_PROBE && s->tcp->probing)
		ops->reset(s->tcp, now);
	else
		up_acked(s, now);
}
static void rude_closed(struct sn_subflow *s, enum sn_err err, sn_time now)
{
	struct sn_tcp *t = s->tcp;
	struct sn_chunk c = {.data = s->pair->pattern, .len = 10};

	if (s->pair->script[7] == AT_CLOSED) { /* the record is still there, and of no use */
		ops->reset(t, now);
		ops->detach(t, now);
		ops->fin(t, now);
		ops->credit(t, now);
		ops->ack_now(t, now);
		ops->probe(t, now);
		ops->kick(t, now);
		CHECK_EQ(ops->room(t, now), 0);
		CHECK(ops->send(t, &c, 0, 10, 0, now) < 0);
	}
	up_closed(s, err, now);
}
static const struct sn_tcp_up rude = {
	.established = up_established,
	.segment = rude_segment,
	.data = up_data,
	.acked = rude_acked,
	.options = up_options,
	.window = up_window,
	.rto = up_rto,
	.fin = up_fin,
	.closed = rude_closed,
};

static struct pair *rude_pair(enum where at)
{
	struct pair *p = pair_up();
	struct sn_tcp_open o = open_of(&p->side[0], 40000);

	p->script[7] = at;
	p->side[1].sub.refuse = at == AT_RST;
	o.up = &rude;
	p->side[0].sub.tcp = ops->open(p->side[0].e, &o, p->now);
	REQUIRE(tcp(p, 0));
	poll_side(p, &p->side[0]);
	run_for(p, 200 * SN_MSEC);
	return p;
}

SN_TEST(owner_may_reset_on_the_syn_ack_and_on_the_reset)
{
	for (enum where at = AT_SYNACK; at <= AT_RST; at++) {
		struct pair *p = rude_pair(at);
		CHECK_EQ(p->side[0].sub.closed, 1);
		CHECK_EQ(p->side[0].sub.err, SN_E_ABORTED);
		CHECK_EQ(p->side[0].sub.established, 0);
		CHECK_EQ(p->side[0].e->tcp.conns.used, 0);
		pair_down(p);
	}
}

static enum verdict lose_data(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	(void)p;
	(void)at;
	return from == 0 && seg->len ? DROP : PASS;
}

SN_TEST(owner_may_reset_when_asked_for_data_to_probe_with)
{
	struct pair *p = rude_pair(AT_PROBE);

	p->filter = lose_data;
	offer(&p->side[0].sub, 3000);
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(p->side[0].e->counters.tcp_tlp, 1);
	CHECK_EQ(p->side[0].sub.closed, 1);
	CHECK_EQ(p->side[0].e->tcp.conns.used, 0);
	pair_down(p);
}

SN_TEST(calls_on_a_record_that_just_ended_do_nothing)
{
	struct pair *p = rude_pair(AT_CLOSED);

	ops->reset(tcp(p, 0), p->now);
	settle(p);
	CHECK_EQ(p->side[0].sub.closed, 1);
	CHECK_EQ(p->side[0].sub.err, SN_E_ABORTED);
	CHECK_EQ(count_from(p, 0, SN_TH_RST), 1);
	CHECK_EQ(count_from(p, 0, SN_TH_FIN), 0);
	CHECK_EQ(p->side[0].e->tcp.conns.used, 0);
	pair_down(p);
}

/* --- no records --------------------------------------------------------------------------------------------------- */

SN_TEST(rfc9293_3_10_1_second_open_of_a_connection_is_refused)
{
	struct pair *p = pair_connected();
	struct side *a = &p->side[0];
	struct sn_tcp_open o = open_of(a, 40000);

	CHECK(!ops->open(a->e, &o, p->now));
	CHECK_EQ(a->e->counters.tcp_mem_limit, 1);
	CHECK_EQ(a->e->tcp.conns.used, 1);
	offer(&a->sub, 10000); /* the first one goes on */
	CHECK(run_transfer(p, SN_SEC));
	pair_down(p);
}

SN_TEST(open_and_accept_are_refused_when_records_run_out)
{
	struct pair *p = pair_up();
	struct side *a = &p->side[0];
	struct sn_tcp_seg syn = {.flags = SN_TH_SYN, .wnd = 1000, .sport = 80};
	struct sn_tcp *t[32];

	p->side[1].silent = p->side[1].sub.refuse = true;
	for (uint16_t i = 0; i < 32; i++) {
		struct sn_tcp_open o = open_of(a, (uint16_t)(40000 + i));
		REQUIRE(t[i] = ops->open(a->e, &o, p->now));
	}
	struct sn_tcp_open o = open_of(a, 50000);
	CHECK(!ops->open(a->e, &o, p->now));
	CHECK(!ops->accept(a->e, &o, &syn, p->now));
	CHECK_EQ(a->e->counters.tcp_mem_limit, 2);
	ops->reset(t[7], p->now);
	REQUIRE(t[7] = ops->open(a->e, &o, p->now));
	for (int i = 0; i < 32; i++)
		ops->reset(t[i], p->now);
	pair_down(p);
}

SN_TEST(retransmissions_that_are_lost_in_any_order_wait_in_sequence_order)
{
	struct pair *p = pair_connected();
	struct sn_rng rng = sn_rng_seed(7, 1);

	p->filter = lose_data;
	offer(&p->side[0].sub, 10 * 1448);
	struct sn_tcp *t = tcp(p, 0);
	struct sn_tcp_txseg *s[10], *at = t->txq;
	for (int i = 0; i < 10; i++, at = at->next)
		REQUIRE(s[i] = at);
	sn_tcp_mark_timeout(t, p->now);
	audit(t);
	for (int round = 0; round < 1000; round++) {
		uint32_t i = sn_rng_below(&rng, 10);
		s[i]->sent = p->now + (sn_time)round;
		if (s[i]->flags & SN_TXS_RETRANS)
			sn_tcp_mark(t, s[i]);
		else
			sn_tcp_note_retransmit(t, s[i]);
		/* as rack.c does: from the oldest retransmission on */
		if (round % 10 == 9)
			while (t->rtxq && sn_rng_below(&rng, 4))
				sn_tcp_mark(t, t->rtxq);
		audit(t);
	}
	pair_down(p);
}

/* --- no buffers --------------------------------------------------------------------------------------------------- */

SN_TEST(ack_without_a_buffer_is_sent_by_the_timer)
{
	struct pair *p = pair_connected();

	dry(p, 0);
	uint32_t before = sent_by(p, 0);
	ops->ack_now(tcp(p, 0), p->now);
	run_for(p, 5 * SN_MSEC);
	CHECK_EQ(sent_by(p, 0), before);
	CHECK(p->side[0].e->counters.tx_nobuf >= 2);
	refill(p, 0);
	run_for(p, 5 * SN_MSEC);
	CHECK_EQ(sent_by(p, 0), before + 1);
	pair_down(p);
}

SN_TEST(fin_without_a_buffer_is_sent_by_the_timer)
{
	struct pair *p = pair_connected();

	dry(p, 0);
	ops->fin(tcp(p, 0), p->now);
	CHECK_EQ(tcp(p, 0)->state, SN_TCP_ESTABLISHED);
	CHECK_EQ(p->side[0].e->counters.tcp_mem_limit, 1);
	run_for(p, SN_SEC);
	CHECK_EQ(count_from(p, 0, SN_TH_FIN), 0);
	refill(p, 0);
	run_for(p, SN_SEC);
	CHECK_EQ(p->side[1].sub.fins, 1);
	CHECK_EQ(tcp(p, 0)->state, SN_TCP_FIN_WAIT_2);
	hang_up(p);
	CHECK_EQ(p->side[0].sub.err, SN_OK);
	pair_down(p);
}

SN_TEST(a_flow_keeps_its_references_when_there_are_no_buffers_for_copies)
{
	struct pair *p = pair_connected();

	p->filter = lose_data;
	p->side[0].sub.chunk_size = 1448;
	offer(&p->side[0].sub, 3 * 1448);
	const struct sn_chunk *c = p->side[0].sub.chunks;
	CHECK(c[0].refs && c[2].refs);
	p->side[0].e->tight = SN_TIGHT_SHORT;
	CHECK(!ops->own(tcp(p, 0)));
	CHECK(c[0].refs && c[2].refs);
	p->side[0].e->tight = SN_TIGHT_NOT;
	dry(p, 0);
	p->side[0].pool.limit += 1; /* for the first of three */
	CHECK(!ops->own(tcp(p, 0)));
	CHECK(!c[0].refs && c[2].refs);
	refill(p, 0);
	CHECK(ops->own(tcp(p, 0)));
	CHECK(!c[0].refs && !c[2].refs);
	p->filter = NULL;
	CHECK(run_transfer(p, 10 * SN_SEC));
	pair_down(p);
}

/* A pool whose buffers hold a header and little more. */
static struct sn_buf *small_alloc(struct sn_pool *pool)
{
	struct side *s = pool->ctx;
	struct sn_buf *b = sn_buf_alloc(&s->pool.pool);

	if (b)
		b->room = SN_HEADROOM + SN_TCP_HDR_MIN + SN_TCP_OPT_MAX + 500;
	return b;
}

SN_TEST(small_pieces_that_no_buffer_can_take_are_not_sent)
{
	struct pair *p = pair_connected();
	struct side *a = &p->side[0];
	struct sn_pool small = {.alloc = small_alloc, .ctx = a};

	a->e->cfg.pool = &small;
	a->sub.chunk_size = 100;
	uint32_t before = sent_by(p, 0);
	offer(&a->sub, 3000);
	CHECK_EQ(sent_by(p, 0), before);
	CHECK(a->e->counters.tx_nobuf > 0);
	CHECK_EQ(a->sub.sent, 0);
	CHECK_EQ(a->e->tcp.segs.used, 0);
	/* A copy of its own would not find room either. */
	struct sn_chunk whole = {.data = p->pattern, .len = 1000};
	p->filter = lose_data;
	CHECK_EQ(ops->send(a->sub.tcp, &whole, 0, 1000, 0, p->now), 1000);
	CHECK(!ops->own(a->sub.tcp));
	CHECK_EQ(whole.refs, 1);
	p->filter = NULL;
	a->e->cfg.pool = &a->pool.pool;
	a->sub.sent = 1000;
	run_for(p, SN_SEC);
	CHECK_EQ(whole.refs, 0);
	pair_down(p);
}

SN_TEST(left_over_records_are_given_up_when_there_are_no_buffers)
{
	struct pair *p = pair_connected();
	struct side *a = &p->side[0];

	dry(p, 0);
	uint32_t before = sent_by(p, 0);
	sn_tcp_reset_left_over(a->e, &a->e->tcp, p->now);
	sn_engine_flush(a->e);
	CHECK_EQ(sent_by(p, 0), before);
	refill(p, 0);
	CHECK_EQ(a->pool.out, 0);
	pair_down(p);
}

static enum verdict lose_the_first(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	(void)at;
	return from == 0 && seg->len && seg->seq == p->isn[0] + 1 ? DROP : PASS;
}

SN_TEST(a_short_queue_behind_a_hole_is_dropped_only_when_the_hole_stayed)
{
	struct pair *p = pair_connected();
	struct side *b = &p->side[1];

	p->filter = lose_the_first;
	offer(&p->side[0].sub, 10 * 1448);
	run_for(p, 6 * SN_MSEC);
	REQUIRE(tcp(p, 1)->ooo_count == 9);
	ops->prune(b->e, 20, 100); /* too short to matter */
	ops->prune(b->e, 5, 100);  /* the hole is new */
	CHECK_EQ(tcp(p, 1)->ooo_count, 9);
	ops->prune(b->e, 5, 100);
	CHECK_EQ(tcp(p, 1)->ooo_count, 0);
	CHECK_EQ(b->e->counters.tcp_ooo_drop, 9);
	p->filter = NULL;
	CHECK(run_transfer(p, 30 * SN_SEC));
	pair_down(p);
}

SN_TEST_MAIN()

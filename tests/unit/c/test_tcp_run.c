/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments that follow each other in a burst are taken as one run. What the receiver has and knows afterwards is what it
 * would have and know if they had come one by one; only the ACKs are fewer.
 */
#include "tcp_pair.h"

enum { FULL = 1448, MOST = 16 };

static struct sn_tcp *receiver(struct pair *p) { return p->side[1].sub.tcp; }

/* A pair past slow start's ACK of every segment, and `n` segments of side 0 on their way: taken off the wire. */
static struct pair *under_way(uint32_t n, struct sn_buf **v)
{
	struct pair *p = pair_connected();

	p->bursts = true;
	receiver(p)->quick = 0;
	receiver(p)->last_recv = p->now;
	receiver(p)->rcv_mss = FULL;
	p->side[0].sub.tcp->cwnd = MOST * FULL;
	offer(&p->side[0].sub, n * FULL);
	settle(p);
	REQUIRE(p->nwire == n && n <= MOST);
	for (uint32_t i = 0; i < n; i++) {
		v[i] = p->wire[i].b;
		v[i]->next = NULL;
	}
	p->nwire = 0;
	p->nseen = 0;
	return p;
}

static uint8_t *tcp_at(struct sn_buf *b) { return b->data + SN_ETH_HDR + pair_ip_hdr(b->data); }
static void sign(struct sn_buf *b)
{
	uint8_t *tcp = tcp_at(b);
	uint32_t len = pair_tcp_len(b->data);
	struct sn_addr a = pair_addr(0, 1), z = pair_addr(0, 2);

	sn_tcp_set_csum(tcp, 0);
	sn_tcp_set_csum(tcp, sn_csum_finish(sn_csum_partial(tcp, len, pair_pseudo(&a, &z, len))));
}
static void give(struct pair *p, struct sn_buf **v, uint32_t n)
{
	sn_engine_rx(p->side[1].e, v, n, p->now);
	settle(p);
}
/* The rest of the transfer and the end. */
static void finish(struct pair *p)
{
	CHECK(run_transfer(p, 20 * SN_SEC));
	hang_up(p);
	pair_down(p);
}
/* The number of ACKs for what was given; IPv6 has no runs. */
static void check_acks(struct pair *p, uint32_t v4, uint32_t v6)
{
	CHECK_EQ(count_from(p, 1, SN_TH_ACK), pair_family == PAIR_V6 ? v6 : v4);
}

SN_TEST(eight_segments_are_one_ack_and_every_byte)
{
	struct sn_buf *v[MOST];
	struct pair *p = under_way(10, v);
	uint64_t before = receiver(p)->segs_received, counted = p->side[1].e->counters.tcp_rx_segments;

	give(p, v, 10);
	CHECK_EQ(p->side[1].sub.received, 10 * FULL);
	CHECK_EQ(receiver(p)->rcv_nxt, p->isn[0] + 1 + 10 * FULL);
	CHECK_EQ(receiver(p)->segs_received, before + 10);
	CHECK_EQ(p->side[1].e->counters.tcp_rx_segments, counted + 10);
	CHECK_EQ(receiver(p)->rcv_mss, FULL);
	check_acks(p, 2, 5); /* at most eight segments for one */
	finish(p);
}

SN_TEST(two_segments_are_acknowledged_at_once_and_one_is_not)
{
	struct sn_buf *v[MOST];
	struct pair *p = under_way(3, v);

	give(p, v, 2);
	CHECK_EQ(count_from(p, 1, SN_TH_ACK), 1);
	give(p, v + 2, 1);
	CHECK_EQ(count_from(p, 1, SN_TH_ACK), 1);
	finish(p);
}

SN_TEST(while_every_segment_is_acknowledged_a_run_is_none)
{
	struct sn_buf *v[MOST];
	struct pair *p = under_way(6, v);

	receiver(p)->quick = 6;
	give(p, v, 6);
	CHECK_EQ(count_from(p, 1, SN_TH_ACK), 6);
	finish(p);
}

SN_TEST(push_ends_a_run)
{
	struct sn_buf *v[MOST];
	struct pair *p = under_way(8, v);

	tcp_at(v[3])[13] |= SN_TH_PSH;
	sign(v[3]);
	give(p, v, 8);
	CHECK_EQ(p->side[1].sub.received, 8 * FULL);
	check_acks(p, 2, 4);
	finish(p);
}

/* Something differs in segment 4: it is told to TCP by itself. */
static void differs(void (*how)(struct sn_buf *), uint32_t acks)
{
	struct sn_buf *v[MOST];
	struct pair *p = under_way(10, v);

	how(v[4]);
	sign(v[4]);
	p->side[1].sub.segments = 0;
	give(p, v, 10);
	CHECK_EQ(p->side[1].sub.received, 10 * FULL);
	CHECK_EQ(p->side[1].sub.segments, pair_family == PAIR_V6 ? 10 : acks);
	finish(p);
}
static void other_window(struct sn_buf *b) { tcp_at(b)[15]++; }
static void other_echo(struct sn_buf *b) { tcp_at(b)[31]++; }
static void reserved_bit(struct sn_buf *b) { tcp_at(b)[12] |= 2; }
static void urgent(struct sn_buf *b) { tcp_at(b)[13] |= SN_TH_URG; }

SN_TEST(another_header_is_looked_at_by_itself)
{
	/* 0-3, 4, 5-9; with another echo or a reserved bit likewise. */
	differs(other_window, 3);
	differs(other_echo, 3);
	differs(reserved_bit, 3);
	differs(urgent, 3);
}

SN_TEST(congestion_experienced_is_never_in_a_run)
{
	struct sn_buf *v[MOST];
	struct pair *p = under_way(10, v);

	receiver(p)->ccx.ecn = true;
	pair_set_tos(tcp_at(v[4]), 3);
	give(p, v, 10);
	CHECK_EQ(p->side[1].e->counters.tcp_ce_rx, 1);
	CHECK(receiver(p)->ccx.echo);
	CHECK_EQ(p->side[1].sub.received, 10 * FULL);
	finish(p);
}

SN_TEST(a_bad_checksum_in_the_middle_is_a_hole)
{
	struct sn_buf *v[MOST];
	struct pair *p = under_way(10, v);

	v[4]->data[v[4]->len - 1] ^= 1;
	give(p, v, 10);
	CHECK_EQ(p->side[1].e->counters.rx_drop_tcp, 1);
	CHECK_EQ(p->side[1].sub.received, 4 * FULL);
	CHECK_EQ(receiver(p)->ooo_count, 5);
	finish(p);
}

SN_TEST(what_is_not_next_is_taken_one_by_one)
{
	struct sn_buf *v[MOST];
	struct pair *p = under_way(10, v);

	give(p, v + 4, 6); /* a run behind a hole */
	CHECK_EQ(receiver(p)->ooo_count, 6);
	CHECK_EQ(p->side[1].sub.received, 0);
	give(p, v, 4); /* fills it: no short way either */
	CHECK_EQ(p->side[1].sub.received, 10 * FULL);
	finish(p);
}

SN_TEST(other_flows_and_garbage_between_break_a_run_and_nothing_else)
{
	struct sn_buf *v[MOST], *w[MOST + 2];
	struct pair *p = under_way(10, v);
	uint32_t n = 0;

	for (uint32_t i = 0; i < 10; i++) {
		w[n++] = v[i];
		if (i == 2 || i == 6) {
			struct sn_buf *b = w[n++] = sn_buf_alloc(&p->side[1].pool.pool);
			memcpy(b->data, v[i]->data, v[i]->len);
			b->len = v[i]->len;
			if (i == 2)
				tcp_at(b)[1] ^= 1; /* its source port */
			else
				b->len = 40; /* cut off */
		}
	}
	give(p, w, n);
	CHECK_EQ(p->side[1].sub.received, 10 * FULL);
	finish(p);
}

static void reset_at_once(struct sn_subflow *s, struct sn_buf *chain, sn_time now)
{
	sn_buf_free_chain(chain);
	ops->reset(s->tcp, now);
}
static bool refuse(struct sn_subflow *s, const struct sn_tcp_seg *seg, struct sn_buf *payload, sn_time now)
{
	(void)s, (void)seg, (void)payload, (void)now;
	return false;
}
static bool leave(struct sn_subflow *s, const struct sn_tcp_seg *seg, struct sn_buf *payload, sn_time now)
{
	(void)seg, (void)payload;
	ops->detach(s->tcp, now);
	return true;
}

SN_TEST(the_owner_may_end_it_in_the_middle)
{
	for (int how = 0; how < 3; how++) {
		struct sn_buf *v[MOST];
		struct pair *p = under_way(10, v);
		struct sn_tcp_up rude = up;

		receiver(p)->up = &rude;
		if (how == 1) {
			rude.segment = refuse;
		} else if (how == 2) {
			rude.segment = leave; /* what comes now nobody reads */
		} else {
			rude.data = reset_at_once;
			receiver(p)->quick = 10; /* one by one */
		}
		give(p, v, 10);
		CHECK_EQ(p->side[1].sub.received, 0);
		if (how != 1)
			p->side[1].sub.tcp = NULL;
		else
			receiver(p)->up = &up;
		p->side[0].silent = true;
		run_for(p, SN_SEC);
		if (p->side[0].sub.tcp)
			ops->reset(p->side[0].sub.tcp, p->now);
		p->side[0].silent = false;
		p->side[1].sub.received = p->side[0].sub.offered;
		pair_down(p);
	}
}

/* Whole transfers in bursts, both ways, with all that may happen on the way. */
static uint32_t lose, late;
static enum verdict rough(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)from, (void)tcp;
	uint32_t dice = sn_rng_below(&p->rng, 1000);

	if (!seg->len)
		return PASS;
	return dice < lose ? DROP : dice < lose + late ? LATE : dice < lose + 2 * late ? TWICE : PASS;
}

SN_TEST(transfers_in_bursts_arrive_whole)
{
	for (uint32_t i = 0; i < 4; i++) {
		struct pair *p = pair_connected();
		p->bursts = true;
		lose = i * 10;
		late = i * 7;
		p->filter = rough;
		p->side[0].sub.reserve = i & 1 ? 20 : 0;
		offer(&p->side[0].sub, 3 << 20);
		if (i > 1)
			offer(&p->side[1].sub, 1 << 20);
		CHECK(run_transfer(p, 60 * SN_SEC));
		if (!i && pair_family == PAIR_V4) /* one ACK for many segments */
			CHECK(p->side[1].e->counters.tcp_tx_segments < (3u << 20) / FULL / 4);
		if (p->side[0].sub.tcp)
			audit(p->side[0].sub.tcp);
		finish(p);
	}
}

PAIR_TEST_MAIN()

/* SPDX-License-Identifier: Apache-2.0
 *
 * Large sends as units: what is on the wire is, byte for byte, what the same transfer sends segment by segment, whatever
 * happens to it on the way.
 */
#include "tcp_pair.h"

#define MOST (12u << 20)

/* Every frame of a side in a run, one behind the other, with its length in front. */
struct tape {
	uint8_t bytes[MOST];
	size_t len;
	uint32_t frames, sum_bad;
};
static struct run {
	struct tape tape[2];
	uint64_t units;
	struct sn_rng rng[2];
} runs[2]; /* in units, segment by segment */
static struct run *now_on;

/* Both checksums of a frame, by definition. */
static bool sums_good(const uint8_t *frame, uint32_t len)
{
	uint32_t ip = pair_ip_hdr(frame), tcp_len = len - 14 - ip;
	const uint8_t *l3 = frame + 14;
	uint32_t sum = ip == 20 ? sn_csum_partial(l3 + 12, 8, 6 + tcp_len) : sn_csum_partial(l3 + 8, 32, 6 + tcp_len);

	return (ip == 40 || sn_csum_fold(sn_csum_partial(l3, 20, 0)) == 0xffff) &&
	       sn_csum_fold(sn_csum_partial(l3 + ip, tcp_len, sum)) == 0xffff && tcp_len == pair_tcp_len(frame);
}

static void record(struct pair *p, int from, const struct sn_buf *b)
{
	struct tape *t = &now_on->tape[from];

	(void)p;
	REQUIRE(t->len + b->len + 2 <= MOST);
	sn_put16(t->bytes + t->len, (uint16_t)b->len);
	memcpy(t->bytes + t->len + 2, b->data, b->len);
	t->len += 2 + b->len;
	t->frames++;
	if (pair_ip_hdr(b->data))
		t->sum_bad += !sums_good(b->data, b->len);
}

/* What happens on the way, the same in both runs. */
struct way {
	uint32_t lose, mark, late; /* of 1000 segments with data */
	uint32_t chunk;            /* bytes of a piece of memory */
	const char *cc;
	bool ecn, pacing;
	uint32_t reserve;
	uint64_t bytes, back, rate;
};
static struct way way;

static enum verdict on_the_way(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *tcp)
{
	struct sn_rng *rng = &now_on->rng[from];

	(void)p;
	if (!seg->len)
		return PASS;
	uint32_t dice = sn_rng_below(rng, 1000);
	if (way.mark && (pair_tos(tcp) & 3) == 2 && sn_rng_below(rng, 1000) < way.mark)
		pair_set_tos(tcp, pair_tos(tcp) | 3);
	return dice < way.lose ? DROP : dice < way.lose + way.late ? LATE : PASS;
}

static void run(bool single)
{
	struct pair *p = pair_of(single);

	now_on = &runs[single];
	for (int i = 0; i < 2; i++) {
		now_on->tape[i].len = now_on->tape[i].frames = now_on->tape[i].sum_bad = 0;
		now_on->rng[i] = sn_rng_seed(3, (uint64_t)i);
	}
	p->frame = record;
	p->filter = on_the_way;
	p->cc = way.cc;
	p->rate = way.rate;
	for (int i = 0; i < 2; i++) {
		p->side[i].sub.chunk_size = way.chunk;
		p->side[i].sub.reserve = way.reserve;
		p->side[i].e->cfg.tcp.pacing = way.pacing;
		if (way.ecn)
			p->side[i].e->cfg.tcp.ecn = SN_ECN_ASK;
	}
	dial(p);
	run_for(p, SN_SEC);
	REQUIRE(p->side[0].sub.established && p->side[1].sub.established);
	offer(&p->side[0].sub, way.bytes);
	if (way.back)
		offer(&p->side[1].sub, way.back);
	CHECK(run_transfer(p, 300 * SN_SEC));
	now_on->units = p->side[0].e->counters.tx_units;
	CHECK_EQ(p->side[0].e->counters.tx_packets, now_on->tape[0].frames);
	CHECK_EQ(p->side[0].e->counters.tx_bytes, now_on->tape[0].len - 2 * now_on->tape[0].frames);
	hang_up(p);
	pair_down(p);
}

static void both_alike(void)
{
	run(false);
	run(true);
	for (int i = 0; i < 2; i++) {
		const struct tape *a = &runs[0].tape[i], *b = &runs[1].tape[i];
		CHECK_EQ(a->sum_bad, 0);
		CHECK_EQ(a->len, b->len);
		CHECK(a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0);
	}
	CHECK_EQ(runs[1].units, 0);
}

SN_TEST(a_transfer_in_units_is_on_the_wire_what_it_is_in_segments)
{
	way = (struct way){.chunk = 16384, .bytes = 4 << 20, .back = 1 << 20};
	both_alike();
	CHECK(runs[0].units > way.bytes / 65536);
}

SN_TEST(losses_and_reordering_are_mended_alike)
{
	way = (struct way){.chunk = 16384, .bytes = 3 << 20, .back = 1 << 20, .lose = 20, .late = 20};
	both_alike();
	way.cc = "bbr";
	both_alike();
}

SN_TEST(payload_in_odd_pieces_is_cut_where_the_segments_end)
{
	static const uint32_t odd[] = {701, 1449, 1999, 4097, 7001, 65535};

	for (uint32_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
		way = (struct way){.chunk = odd[i], .bytes = 1 << 20, .lose = 5};
		both_alike();
		CHECK(odd[i] < 1448 || runs[0].units); /* a unit has so many pieces and no more */
	}
}

SN_TEST(congestion_experienced_is_answered_on_the_first_segment_alone)
{
	way = (struct way){.chunk = 16384, .bytes = 3 << 20, .mark = 5, .ecn = true};
	both_alike();
	uint32_t cwr = 0;
	const struct tape *t = &runs[0].tape[0];
	for (size_t at = 0; at < t->len; at += 2u + sn_get16(t->bytes + at)) {
		const uint8_t *frame = t->bytes + at + 2;
		uint32_t ip = pair_ip_hdr(frame);
		cwr += ip && (frame[14 + ip + 13] & (SN_TH_CWR | SN_TH_SYN)) == SN_TH_CWR;
	}
	CHECK(cwr > 3);
}

SN_TEST(paced_flows_and_options_of_the_owner_change_nothing)
{
	way = (struct way){.chunk = 16384, .bytes = 3 << 20, .lose = 3, .pacing = true, .rate = 10 << 20};
	both_alike();
	way.pacing = false;
	way.reserve = 20;
	way.cc = "newreno";
	both_alike();
}

SN_TEST(records_that_run_out_shorten_units)
{
	struct pair *p = pair_connected();
	struct sn_slab *segs = &p->side[0].e->tcp.segs;
	struct sn_tcp_txseg *kept = NULL;

	/* Three records are left, then one. */
	while (segs->count - segs->used > 3) {
		struct sn_tcp_txseg *s = sn_slab_take(segs);
		s->next = kept;
		kept = s;
	}
	offer(&p->side[0].sub, 5 * 1448);
	CHECK_EQ(p->side[0].sub.sent, 3 * 1448);
	settle(p);
	CHECK_EQ(p->side[0].e->counters.tx_units, 1);
	while (kept) {
		struct sn_tcp_txseg *s = kept;
		kept = s->next;
		sn_slab_put(segs, s);
	}
	CHECK(run_transfer(p, 20 * SN_SEC));
	hang_up(p);
	pair_down(p);
}

SN_TEST(a_unit_for_which_there_is_no_buffer_holds_nothing)
{
	struct pair *p = pair_connected();

	p->plight = (struct sn_sim_plight){.pool = p->now + SN_MSEC, .pool_share = 1000};
	offer(&p->side[0].sub, 20 * 1448);
	CHECK_EQ(p->side[0].sub.sent, 0);
	CHECK_EQ(p->side[0].e->tcp.segs.used, 0);
	CHECK_EQ(p->side[0].sub.chunks[0].refs, 0);
	run_for(p, 2 * SN_MSEC);
	pump(&p->side[0].sub);
	CHECK(run_transfer(p, 20 * SN_SEC));
	hang_up(p);
	pair_down(p);
}

PAIR_TEST_MAIN()

/* SPDX-License-Identifier: Apache-2.0
 *
 * Header prediction decides nothing by itself: with it and without it two hosts put the same segments on the wire at the
 * same times.
 */
#include "tcp_pair.h"

enum { BYTES = 600000 };

struct trace {
	uint32_t n;
	uint64_t digest, rate;
	uint32_t cwnd;
	sn_time srtt, end;
};

/* One segment of a hundred is lost, late or doubled, and the answers to them as well. */
static enum verdict harm(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)from;
	(void)tcp;
	if (seg->flags & (SN_TH_SYN | SN_TH_FIN))
		return PASS;
	uint32_t dice = (uint32_t)sn_rng_below(&p->rng, 300);
	return dice == 0 ? DROP : dice == 1 ? LATE : dice == 2 ? TWICE : PASS;
}

static void mix(uint64_t *h, uint64_t v) { *h = (*h ^ v) * 0x9e3779b97f4a7c15ull + (*h >> 29); }

/* What both of a flow's records hold. */
static void mix_state(struct pair *p, uint64_t *h)
{
	for (int i = 0; i < 2; i++) {
		const struct sn_tcp *t = p->side[i].sub.tcp;
		if (!t)
			continue;
		mix(h, t->rack);
		mix(h, (uint64_t)t->rack_end << 32 | t->rack_fack);
		mix(h, t->rack_rtt);
		mix(h, t->rto_at);
		mix(h, t->timer_at);
		mix(h, t->delivered);
		mix(h, t->bytes_acked);
		mix(h, t->bytes_received);
		mix(h, t->segs_received);
		mix(h, (uint64_t)t->snd_wnd << 32 | t->cwnd);
		mix(h, (uint64_t)t->ts_recent << 32 | t->rcv_tuned);
	}
}

static struct trace run(const struct sn_tcp_ops *with, const char *cc, uint64_t seed, bool shared, uint64_t back)
{
	struct pair *p = pair_up();
	struct trace r = {0};

	p->cc = cc;
	p->rng = sn_rng_seed(seed, 3);
	p->rate = 5000000;
	p->filter = harm;
	for (int i = 0; i < 2; i++) {
		p->side[i].e->tcp_ops = with;
		p->side[i].sub.shared = shared;
		p->side[i].sub.rcvbuf = 65536 << (seed % 4);
	}
	dial(p);
	run_for(p, 100 * SN_MSEC);
	offer(&p->side[0].sub, BYTES);
	if (back)
		offer(&p->side[1].sub, back);
	for (int i = 0; i < 400; i++) {
		run_for(p, SN_MSEC / 2);
		mix_state(p, &r.digest);
	}
	CHECK(run_transfer(p, 60 * SN_SEC));
	r.end = p->now;
	r.cwnd = p->side[0].sub.tcp->cwnd;
	r.srtt = p->side[0].sub.tcp->srtt;
	r.rate = p->side[0].sub.tcp->rate;
	hang_up(p);
	for (uint32_t i = 0; i < p->nseen; i++) {
		const struct seen *s = &p->seen[i];
		mix(&r.digest, s->at);
		mix(&r.digest, (uint64_t)s->seg.seq << 32 | s->seg.ack);
		mix(&r.digest, (uint64_t)s->seg.len << 32 | (uint32_t)s->seg.flags << 16 | s->seg.wnd);
		mix(&r.digest, (uint64_t)s->seg.ts_val << 32 | s->seg.ts_ecr);
	}
	r.n = p->nseen;
	pair_down(p);
	return r;
}

static void same(const char *cc, bool shared, uint64_t back)
{
	struct sn_tcp_ops general = sn_tcp_native_ops;

	general.input = sn_tcp_input_any;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct trace a = run(&sn_tcp_native_ops, cc, seed, shared, back);
		struct trace b = run(&general, cc, seed, shared, back);
		CHECK_EQ(a.n, b.n);
		CHECK_EQ(a.digest, b.digest);
		CHECK_EQ(a.cwnd, b.cwnd);
		CHECK_EQ(a.srtt, b.srtt);
		CHECK_EQ(a.rate, b.rate);
		CHECK_EQ(a.end, b.end);
		CHECK(a.n > BYTES / 1500);
	}
}

SN_TEST(prediction_changes_nothing_with_cubic) { same("cubic", false, 0); }
SN_TEST(prediction_changes_nothing_with_newreno) { same("newreno", false, 0); }
SN_TEST(prediction_changes_nothing_with_bbr) { same("bbr", false, 0); }
SN_TEST(prediction_changes_nothing_with_dctcp) { same("dctcp", false, 0); }
SN_TEST(prediction_changes_nothing_with_data_both_ways) { same("cubic", false, BYTES / 2); }
SN_TEST(prediction_changes_nothing_with_a_shared_window) { same("cubic", true, 1000); }

SN_TEST_MAIN()

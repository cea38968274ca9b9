/* SPDX-License-Identifier: Apache-2.0
 *
 * One-way latency of lone 1000-byte messages, sent at fixed times, at RTT 10 ms and independent loss of data: what the
 * timers' arithmetic says. The tail probe mends one loss: 5 ms + PTO; a second one takes RTO.
 */
#include "tcp_pair.h"

enum { MESSAGE = 1000, MESSAGES = 20000 };

struct latency {
	sn_time p50, p99, p995, p999;
	uint64_t spurious;
};

static enum verdict lose(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	(void)at;
	return from == 0 && seg->len && sn_rng_below(&p->rng, 1000) < p->script[0] ? DROP : PASS;
}

static int by_value(const void *a, const void *b)
{
	const sn_time *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static struct latency measure(const char *profile, uint32_t per_mille, sn_time gap)
{
	struct pair *p = pair_up();
	struct sn_subflow *a = &p->side[0].sub, *b = &p->side[1].sub;
	sn_time *due = calloc(MESSAGES, sizeof *due);

	for (int i = 0; i < 2; i++)
		sn_tcp_cfg_profile(&p->side[i].e->cfg.tcp, profile);
	dial(p);
	run_for(p, 100 * SN_MSEC);
	p->filter = lose;
	p->script[0] = per_mille;
	a->chunk_size = MESSAGE;
	a->nchunks = MESSAGES;
	a->chunks = calloc(MESSAGES, sizeof *a->chunks);
	for (uint32_t i = 0; i < MESSAGES; i++)
		a->chunks[i] = (struct sn_chunk){.data = p->pattern + (uint64_t)i * MESSAGE % PERIOD,
						 .len = MESSAGE,
						 .dsn = (uint64_t)i * MESSAGE,
						 .next = i + 1 < MESSAGES ? &a->chunks[i + 1] : NULL};
	sn_time first = p->now + SN_MSEC;
	uint32_t given = 0, got = 0;
	while (got < MESSAGES) {
		sn_time next = given < MESSAGES ? first + given * gap : SN_TIME_NEVER;
		if (p->now >= next) {
			given++;
			a->offered += MESSAGE;
			pump(a);
			settle(p);
		} else if (!step(p, next)) {
			p->now = next;
		}
		for (; got < b->received / MESSAGE; got++)
			due[got] = p->now - (first + got * gap);
		p->nseen = 0;
		REQUIRE(p->now < first + (MESSAGES + 1000) * gap);
	}
	qsort(due, MESSAGES, sizeof *due, by_value);
	struct latency l = {due[MESSAGES / 2], due[MESSAGES / 100 * 99], due[MESSAGES / 1000 * 995],
			    due[MESSAGES / 1000 * 999], p->side[1].e->counters.tcp_dup_data};
	printf("# %s, %u/1000 lost: p50 %.1f p99 %.1f p99.5 %.1f p99.9 %.1f ms; %u probes, %u timeouts\n", profile,
	       per_mille, l.p50 * 1e-6, l.p99 * 1e-6, l.p995 * 1e-6, l.p999 * 1e-6,
	       (uint32_t)p->side[0].e->counters.tcp_tlp, (uint32_t)p->side[0].e->counters.tcp_rto);
	free(due);
	pair_down(p);
	return l;
}

SN_TEST(datacenter_timers_mend_one_loss_within_27_ms)
{
	struct latency one = measure("datacenter", 10, 50 * SN_MSEC);
	struct latency three = measure("datacenter", 30, 50 * SN_MSEC);

	CHECK(one.p999 <= 27 * SN_MSEC);
	CHECK(three.p995 <= 27 * SN_MSEC);
	/* Without loss of ACKs nothing is sent for nothing. */
	CHECK_EQ(one.spurious, 0);
}

SN_TEST(linux_timers_mend_one_loss_in_about_215_ms)
{
	struct latency one = measure("linux", 10, 500 * SN_MSEC);
	struct latency three = measure("linux", 30, 500 * SN_MSEC);

	CHECK(one.p999 > 210 * SN_MSEC && one.p999 < 220 * SN_MSEC);
	CHECK(three.p99 > 210 * SN_MSEC && three.p99 < 220 * SN_MSEC);
}

SN_TEST_MAIN()

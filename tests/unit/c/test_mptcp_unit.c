/* SPDX-License-Identifier: Apache-2.0
 *
 * Large sends as units under MPTCP: one mapping for all segments of a unit, repeated word for word by each of them and by
 * every retransmission (a Linux peer resets the subflow if a mapping comes again in other words while it is in use).
 */
#include "mptcp_look.h"

enum { MOST = 4096 };

/* Segments of A with data, as first seen on a path. */
static struct said {
	uint32_t seq, len;
	uint64_t dsn;
	uint32_t ssn, map_len;
	uint16_t csum;
	bool fin, capable;
} said[PATHS][MOST];
static struct {
	uint32_t n[PATHS], isn[PATHS];
	uint32_t in_units, again, contradict, beyond, fin_in_unit, fins, capable_long;
	uint32_t lose_every, data;
} watch;

static bool listen_in(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	if (to != B)
		return true;
	if (seg->flags & SN_TH_SYN)
		watch.isn[path] = seg->seq;
	bool dss = seg->mp.present & SN_MP_BIT(SN_MP_DSS) && seg->mp.dss.flags & SN_DSS_MAP;
	bool capable = seg->mp.present & SN_MP_BIT(SN_MP_CAPABLE);
	if (!seg->len || !(dss || capable))
		return true;
	struct said s = {.seq = seg->seq - watch.isn[path], .len = seg->len, .capable = capable};
	if (dss) {
		s.dsn = seg->mp.dss.dsn;
		s.ssn = seg->mp.dss.ssn;
		s.map_len = seg->mp.dss.len;
		s.csum = seg->mp.dss.flags & SN_DSS_HAS_CSUM ? seg->mp.dss.csum : 0;
		s.fin = seg->mp.dss.flags & SN_DSS_FIN;
	} else {
		watch.capable_long += seg->mp.capable.data_len != seg->len;
	}
	uint32_t i = 0;
	while (i < watch.n[path] && said[path][i].seq != s.seq)
		i++;
	bool unit = dss && s.map_len > s.len + s.fin;
	if (i < watch.n[path]) {
		watch.again++;
		const struct said *f = &said[path][i];
		if (f->map_len > f->len + f->fin || unit)
			watch.contradict += f->dsn != s.dsn || f->ssn != s.ssn || f->map_len != s.map_len ||
					    f->csum != s.csum || f->fin != s.fin || f->len != s.len;
		return true;
	}
	REQUIRE(i < MOST);
	said[path][watch.n[path]++] = s;
	watch.in_units += unit;
	watch.beyond += dss && (s.seq < s.ssn || s.seq + s.len > s.ssn + s.map_len);
	watch.fin_in_unit += unit && s.fin;
	watch.fins += s.fin;
	return !watch.lose_every || ++watch.data % watch.lose_every;
}

static void start(uint32_t paths, uint8_t flags, uint32_t lose_every)
{
	memset(&seen, 0, sizeof seen);
	memset(&watch, 0, sizeof watch);
	watch.lose_every = lose_every;
	pair_init(&p, 0);
	p.filter = listen_in;
	for (uint32_t i = 1; i < paths; i++)
		pair_endpoint(&p, B, i, SN_EP_SIGNAL);
	pair_connect(&p, flags);
	pair_run(&p, 50 * SN_MSEC);
}

static void check_watch(void)
{
	CHECK_EQ(watch.contradict, 0);
	CHECK_EQ(watch.beyond, 0);
	CHECK_EQ(watch.fin_in_unit, 0);
	CHECK_EQ(watch.capable_long, 0);
	CHECK(watch.in_units > 50);
	CHECK(p.s[A].e->counters.tx_units > 2);
	for (int i = 0; i < 2; i++) {
		const struct sn_counters *c = &p.s[i].e->counters;
		CHECK_EQ(c->DSSNotMatching + c->DSSNoMatchTCP + c->DSSCorruptionReset + c->DataCsumErr, 0);
		CHECK_EQ(c->conn_fallback, 0);
	}
	pair_check_streams(&p);
}

SN_TEST(segments_of_a_unit_repeat_its_mapping)
{
	start(2, 0, 0);
	pair_send(&p, A, 800000);
	pair_send(&p, B, 400000);
	pair_run(&p, 3 * SN_SEC);
	check_watch();
	close_both();
}

SN_TEST(a_lost_segment_comes_again_under_the_mapping_of_its_unit)
{
	start(1, 0, 29);
	pair_send(&p, A, 800000);
	pair_run(&p, 10 * SN_SEC);
	CHECK(watch.again > 10);
	check_watch();
	close_both();
}

SN_TEST(the_checksum_covers_the_unit_and_comes_again_with_it)
{
	start(2, SN_OPF_CSUM, 31);
	pair_send(&p, A, 800000);
	pair_run(&p, 10 * SN_SEC);
	CHECK(watch.again > 5);
	check_watch();
	close_both();
}

SN_TEST(software_checksums_and_mappings_checksums_together)
{
	pair_soft_csum = true;
	start(2, SN_OPF_CSUM, 31);
	pair_send(&p, A, 400000);
	pair_run(&p, 10 * SN_SEC);
	check_watch();
	CHECK_EQ(p.s[B].e->counters.rx_drop_tcp, 0);
	close_both();
	pair_soft_csum = false;
}

SN_TEST(data_fin_stands_on_the_last_segment_alone)
{
	start(1, 0, 0);
	pair_send(&p, A, 10000);
	pair_run(&p, 100 * SN_MSEC);
	pair_send(&p, A, 200000);
	pair_op(&p, A, SN_OP_SHUTDOWN);
	pair_run(&p, 2 * SN_SEC);
	CHECK_EQ(watch.fins, 1);
	CHECK_EQ(p.s[B].eof, 1);
	check_watch();
	close_both();
}

/* The end becomes known while segments of the last unit are under way, and some of them are lost. */
SN_TEST(an_end_that_comes_later_does_not_change_what_was_said)
{
	start(1, 0, 0);
	pair_send(&p, A, 300000);
	pair_run(&p, 500 * SN_MSEC);
	watch.lose_every = 3;
	pair_send(&p, A, 12000);
	pair_run(&p, SN_MSEC);
	watch.lose_every = 0;
	pair_op(&p, A, SN_OP_SHUTDOWN);
	pair_run(&p, 3 * SN_SEC);
	CHECK(watch.again >= 2);
	CHECK_EQ(watch.fins, 0);
	CHECK_EQ(p.s[B].eof, 1);
	check_watch();
	close_both();
}

SN_TEST(the_first_data_of_a_client_is_explained_segment_by_segment)
{
	start(1, 0, 0);
	pair_send(&p, A, 200000);
	pair_run(&p, 3 * SN_MSEC); /* no answer yet */
	CHECK(watch.n[0] >= 10);
	CHECK(said[0][0].capable);
	CHECK_EQ(watch.in_units, 0);
	pair_run(&p, 2 * SN_SEC);
	check_watch();
	close_both();
}

PAIR_TEST_MAIN()

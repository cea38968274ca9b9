/* SPDX-License-Identifier: Apache-2.0
 *
 * Mappings (RFC 8684 3.3.1) that come again in other words: those that are followed, those that contradict, and data that
 * was sent twice after one side alone fell back.
 */
#include "mptcp_look.h"

static bool restate(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	uint8_t *o = option(seg, tcp, 2);
	if (to != B || !o || seg->len < 1000 || !(seg->mp.dss.flags & SN_DSS_MAP))
		return true;
	uint8_t *len = o + 4 + (o[3] & SN_DSS_ACK64 ? 8 : 4) + 12;
	/* 1, 3: every other mapping reaches into the next segment, which restates the rest and more. 2: it covers the
	 * next one whole. */
	if (q->state && (seg->mp.dss.ssn / 1000) % 2)
		sn_put16(len, (uint16_t)(q->state == 2 ? 2 * seg->len : seg->len + 100));
	return true;
}

SN_TEST(mappings_restated_in_part_or_further_are_followed)
{
	pair_single = true; /* every segment has a mapping of its own to rewrite */
	for (uint32_t how = 1; how <= 2; how++) {
		begin(1, 0); /* what follows on the subflow follows in the stream */
		p.filter = restate;
		p.state = how;
		pair_send(&p, A, 300000);
		pair_run(&p, 2 * SN_SEC);
		pair_check_streams(&p);
		CHECK_EQ(p.s[B].e->counters.conn_fallback, 0);
		CHECK_EQ(p.s[B].e->counters.DSSNoMatchTCP, 0);
		CHECK_EQ(p.s[B].e->counters.DSSNotMatching, 0);
		p.filter = look;
		close_both();
	}
	pair_single = false;
}

/* Two segments under one mapping; the second restates it with the DATA_FIN that was unknown when the first was sent, as
 * the kernel does when its application closes meanwhile. */
static bool add_fin(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	static uint8_t first[12]; /* DSN and subflow sequence number */

	look(q, to, path, seg, tcp);
	uint8_t *o = option(seg, tcp, 2);
	if (to != B || !o || !(seg->mp.dss.flags & SN_DSS_MAP))
		return true;
	if (!seg->len) /* A's own DATA_FIN is lost */
		return !(seg->mp.dss.flags & SN_DSS_FIN);
	uint8_t *map = o + 4 + (o[3] & SN_DSS_ACK64 ? 8 : 4);
	if (!q->state++) {
		memcpy(first, map, sizeof first);
		sn_put16(map + 12, 2000);
		return true;
	}
	memcpy(map, first, sizeof first);
	sn_put16(map + 12, 2001);
	o[3] |= SN_DSS_FIN;
	return true;
}

SN_TEST(mapping_restated_with_the_data_fin_is_followed)
{
	begin(1, 0);
	p.filter = add_fin;
	p.state = 0;
	pair_send(&p, A, 2000);
	pair_op(&p, A, SN_OP_SHUTDOWN);
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.state, 2);
	CHECK_EQ(p.s[B].e->counters.DSSNotMatching, 0);
	CHECK_EQ(p.s[B].e->counters.DSSCorruptionReset, 0);
	CHECK_EQ(p.s[B].eof, 1);
	pair_check_streams(&p);
	p.filter = look;
	close_both();
}

static uint32_t odd; /* the path that contradicts */

static bool contradict(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	uint8_t *o = option(seg, tcp, 2);
	if (to != B || path != odd || !o || seg->len < 1000 || !(seg->mp.dss.flags & SN_DSS_MAP) || q->state == 3)
		return true;
	uint8_t *dsn = o + 4 + (o[3] & SN_DSS_ACK64 ? 8 : 4);
	if (q->state == 1)
		sn_put16(dsn + 12, (uint16_t)(seg->len + 100));
	else if (q->state == 2)
		sn_put64(dsn, sn_get64(dsn) + 7);
	q->state += q->state != 0;
	return true;
}

SN_TEST(mapping_that_contradicts_the_one_in_use_resets_the_subflow)
{
	begin(2, 0);
	p.filter = contradict;
	odd = 1;
	p.state = 1;
	pair_send(&p, A, 300000);
	pair_run(&p, 4 * SN_SEC);
	CHECK_EQ(p.state, 3);
	CHECK_EQ(p.s[B].e->counters.DSSNotMatching, 1);
	CHECK_EQ(p.s[B].e->counters.DSSCorruptionReset, 1);
	CHECK_EQ(seen.rst_reason, SN_RST_MIDDLEBOX);
	pair_check_streams(&p);
	close_both();
}

/* An option lost on one segment makes a fallback of which the sender does not know: what it then sends a second time, at
 * another place of the subflow, must not reach the application twice. */
static bool strip_once(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	uint8_t *o = option(seg, tcp, 2);
	if (to != B || !o || seg->len < 1000 || !(seg->mp.dss.flags & SN_DSS_MAP))
		return true;
	if (q->state == 1)
		memset(o, 1, o[1]);
	uint8_t *dsn = o + 4 + (o[3] & SN_DSS_ACK64 ? 8 : 4);
	if (q->state == 5)
		sn_put64(dsn, sn_get64(dsn) - 5000);
	q->state += q->state != 0;
	return true;
}

SN_TEST(data_sent_again_after_a_fallback_of_one_side_ends_the_connection_without_a_wrong_byte)
{
	begin(1, 0);
	p.filter = strip_once;
	p.state = 1;
	pair_send(&p, A, 300000);
	pair_run(&p, 4 * SN_SEC);
	CHECK_EQ(p.s[B].e->counters.conn_fallback, 1);
	CHECK_EQ(p.s[B].e->counters.DSSCorruptionReset, 1);
	CHECK_EQ(p.s[B].bad, 0);
	CHECK(p.s[B].closed_res != 0);
	pair_close(&p);
}

SN_TEST(mapping_that_contradicts_on_the_only_subflow_is_no_case_for_tcp)
{
	begin(1, 0);
	p.filter = contradict;
	odd = 0;
	p.state = 1;
	pair_send(&p, A, 300000);
	pair_run(&p, 4 * SN_SEC);
	CHECK_EQ(p.s[B].e->counters.DSSNotMatching, 1);
	CHECK_EQ(p.s[B].e->counters.DSSCorruptionReset, 1);
	CHECK_EQ(p.s[B].e->counters.conn_fallback, 0);
	pair_check_streams(&p); /* joined again */
	close_both();
}

/* Takes the checksum from a mapping of A (state 1), or gives one to it (state 2); NOPs keep the length. */
static bool other_checksum(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	uint8_t *o = option(seg, tcp, SN_MP_DSS);
	if (to == B && q->state && seg->len && o && (o[3] & SN_DSS_MAP)) {
		if (q->state == 1) {
			o[1] = (uint8_t)(o[1] - 2);
			o[o[1]] = o[o[1] + 1] = 1;
		} else {
			o[1] = (uint8_t)(o[1] + 2);
		}
		q->state = 0;
	}
	return look(q, to, path, seg, tcp);
}

static void checksum_not_as_agreed(bool agreed)
{
	begin(1, agreed ? SN_OPF_CSUM : 0);
	p.filter = other_checksum;
	p.state = agreed ? 1 : 2;
	pair_send(&p, A, 100000);
	pair_run(&p, 4 * SN_SEC);
	CHECK_EQ(p.state, 0);
	CHECK_EQ(p.s[B].e->counters.DSSCorruptionReset, 1);
	CHECK_EQ(p.s[B].e->counters.conn_fallback, 0);
	CHECK_EQ(seen.rst_reason, SN_RST_PROTOCOL);
	pair_check_streams(&p); /* joined again */
	close_both();
}

SN_TEST(mapping_without_the_agreed_checksum_resets_the_subflow) { checksum_not_as_agreed(true); }
SN_TEST(mapping_with_a_checksum_nobody_agreed_on_resets_the_subflow) { checksum_not_as_agreed(false); }

/* One path takes the option from what A sends there. */
static bool strip_on_the_second_path(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	uint8_t *o = option(seg, tcp, SN_MP_DSS);
	if (to == B && path == 1 && o)
		memset(o, 1, o[1]);
	return look(q, to, path, seg, tcp);
}

SN_TEST(options_stripped_on_one_of_two_subflows_reset_it)
{
	begin(2, 0);
	p.filter = strip_on_the_second_path;
	pair_send(&p, A, 200000);
	pair_run(&p, 400 * SN_MSEC);
	CHECK(p.s[B].e->counters.DSSCorruptionReset >= 1);
	CHECK_EQ(p.s[B].e->counters.conn_fallback, 0);
	CHECK_EQ(seen.rst_reason, SN_RST_MIDDLEBOX);
	p.filter = look;
	pair_run(&p, 4 * SN_SEC);
	pair_check_streams(&p);
	close_both();
}

PAIR_TEST_MAIN()

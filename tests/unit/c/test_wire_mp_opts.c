/* SPDX-License-Identifier: Apache-2.0
 *
 * MPTCP options: every legal length is read and written alike, every other length is skipped and counted.
 */
#include "sn_test.h"
#include "wire/tcp.h"

/* Parses `n` option bytes (multiple of 4) behind a header. */
static enum sn_err parse(struct sn_tcp_seg *s, const uint8_t *opts, uint32_t n)
{
	uint8_t p[60];
	struct sn_tcp_seg h = {.flags = SN_TH_ACK};

	memset(s, 0xa5, sizeof *s);
	sn_tcp_emit(p, &h, n);
	memcpy(p + 20, opts, n);
	return sn_tcp_parse(s, p, 20 + n);
}

/* One option head of any length filled with a pattern; legal if it is read. */
static bool reads(uint8_t subtype, uint8_t third, uint32_t len, struct sn_tcp_seg *s)
{
	uint8_t o[40];

	memset(o, 1, sizeof o);
	for (uint32_t i = 4; i < len; i++)
		o[i] = (uint8_t)(0x10 + i);
	o[0] = 30;
	o[1] = (uint8_t)len;
	if (len > 2)
		o[2] = (uint8_t)(subtype << 4 | (third & 0x0f));
	if (len > 3)
		o[3] = third;
	CHECK_EQ(parse(s, o, 40), SN_OK);
	bool present = s->mp.present == SN_MP_BIT(subtype);
	CHECK_EQ(s->mp.bad, present ? 0 : 1);
	if (!present)
		CHECK_EQ(s->mp.present, 0);
	return present;
}

#define LEGAL(n) (1ull << (n))

SN_TEST(only_the_lengths_of_the_rfc_are_read)
{
	static const struct {
		uint8_t subtype, third;
		uint64_t legal;
	} rows[] = {
		{SN_MP_CAPABLE, 0x01, LEGAL(4) | LEGAL(12) | LEGAL(20) | LEGAL(22) | LEGAL(24)},
		{SN_MP_JOIN, 0, LEGAL(12) | LEGAL(16) | LEGAL(24)},
		{SN_MP_DSS, 0x00, LEGAL(4)},
		{SN_MP_DSS, SN_DSS_ACK, LEGAL(8)},
		{SN_MP_DSS, SN_DSS_ACK | SN_DSS_ACK64, LEGAL(12)},
		{SN_MP_DSS, SN_DSS_MAP, LEGAL(14) | LEGAL(16)},
		{SN_MP_DSS, SN_DSS_MAP | SN_DSS_DSN64, LEGAL(18) | LEGAL(20)},
		{SN_MP_DSS, SN_DSS_ACK | SN_DSS_MAP, LEGAL(18) | LEGAL(20)},
		{SN_MP_DSS, SN_DSS_ACK | SN_DSS_ACK64 | SN_DSS_MAP, LEGAL(22) | LEGAL(24)},
		{SN_MP_DSS, SN_DSS_ACK | SN_DSS_MAP | SN_DSS_DSN64, LEGAL(22) | LEGAL(24)},
		{SN_MP_DSS, SN_DSS_ACK | SN_DSS_ACK64 | SN_DSS_MAP | SN_DSS_DSN64, LEGAL(26) | LEGAL(28)},
		{SN_MP_ADD_ADDR, 0, LEGAL(16) | LEGAL(18) | LEGAL(28) | LEGAL(30)},
		{SN_MP_ADD_ADDR, 1, LEGAL(8) | LEGAL(10) | LEGAL(20) | LEGAL(22)},
		{SN_MP_REMOVE_ADDR, 0, 0xffff0ull},
		{SN_MP_PRIO, 1, LEGAL(3) | LEGAL(4)},
		{SN_MP_FAIL, 0, LEGAL(12)},
		{SN_MP_FASTCLOSE, 0, LEGAL(12)},
		{SN_MP_TCPRST, 0, LEGAL(4)},
		{9, 0, 0},
		{15, 0, 0},
	};

	for (uint32_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
		for (uint32_t len = 3; len <= 40; len++) {
			struct sn_tcp_seg s;
			bool want = rows[r].legal >> len & 1;
			bool got = reads(rows[r].subtype, rows[r].third, len, &s);
			if (got != want)
				fprintf(stderr, "\tsubtype %u third byte %#x length %u\n", rows[r].subtype,
					rows[r].third, len);
			CHECK_EQ(got, want);
		}
	}
}

SN_TEST(an_option_too_short_for_a_subtype_is_bad)
{
	uint8_t o[4] = {30, 2, 1, 1};
	struct sn_tcp_seg s;

	CHECK_EQ(parse(&s, o, 4), SN_OK);
	CHECK_EQ(s.mp.bad, 1);
	CHECK_EQ(s.mp.present, 0);
}

SN_TEST(a_second_option_of_one_subtype_is_bad_and_the_first_stands)
{
	uint8_t o[8];
	struct sn_tcp_seg s;

	sn_mp_emit_tcprst(o, 0, 3);
	sn_mp_emit_tcprst(o + 4, 0, 6);
	CHECK_EQ(parse(&s, o, 8), SN_OK);
	CHECK_EQ(s.mp.bad, 1);
	CHECK_EQ(s.mp.present, SN_MP_BIT(SN_MP_TCPRST));
	CHECK_EQ(s.mp.rst_reason, 3);
}

SN_TEST(mp_capable_survives_in_every_form)
{
	static const uint8_t lens[] = {4, 12, 20, 22, 24};

	for (uint32_t i = 0; i < sizeof lens; i++) {
		struct sn_mp_capable c = {.len = lens[i],
					  .version = 1,
					  .flags = SN_MPC_CSUM | SN_MPC_HMAC_SHA256,
					  .data_len = 0x1234,
					  .csum = 0x5678,
					  .sender_key = 0x0102030405060708ull,
					  .receiver_key = 0x1112131415161718ull};
		uint8_t o[24];
		struct sn_tcp_seg s;
		CHECK_EQ(sn_mp_emit_capable(o, &c), (lens[i] + 3) & ~3);
		CHECK_EQ(parse(&s, o, (lens[i] + 3u) & ~3u), SN_OK);
		CHECK_EQ(s.mp.present, SN_MP_BIT(SN_MP_CAPABLE));
		CHECK_EQ(s.mp.capable.len, lens[i]);
		CHECK_EQ(s.mp.capable.version, 1);
		CHECK_EQ(s.mp.capable.flags, c.flags);
		CHECK_EQ(s.mp.capable.sender_key, lens[i] >= 12 ? c.sender_key : 0);
		CHECK_EQ(s.mp.capable.receiver_key, lens[i] >= 20 ? c.receiver_key : 0);
		CHECK_EQ(s.mp.capable.data_len, lens[i] >= 22 ? c.data_len : 0);
		CHECK_EQ(s.mp.capable.csum, lens[i] >= 24 ? c.csum : 0);
	}
}

SN_TEST(mp_join_survives_in_every_form)
{
	static const uint8_t lens[] = {12, 16, 24};

	for (uint32_t i = 0; i < sizeof lens; i++) {
		struct sn_mp_join j = {.len = lens[i],
				       .backup = 1,
				       .addr_id = 7,
				       .token = 0xcafebabe,
				       .nonce = 0x01020304,
				       .hmac64 = 0x8877665544332211ull};
		for (uint32_t k = 0; k < sizeof j.hmac; k++)
			j.hmac[k] = (uint8_t)(200 + k);
		uint8_t o[24];
		struct sn_tcp_seg s;
		CHECK_EQ(sn_mp_emit_join(o, &j), lens[i]);
		CHECK_EQ(parse(&s, o, lens[i]), SN_OK);
		CHECK_EQ(s.mp.present, SN_MP_BIT(SN_MP_JOIN));
		CHECK_EQ(s.mp.join.len, lens[i]);
		CHECK_EQ(s.mp.join.backup, lens[i] < 24);
		CHECK_EQ(s.mp.join.addr_id, lens[i] < 24 ? 7 : 0);
		CHECK_EQ(s.mp.join.token, lens[i] == 12 ? j.token : 0);
		CHECK_EQ(s.mp.join.nonce, lens[i] < 24 ? j.nonce : 0);
		CHECK_EQ(s.mp.join.hmac64, lens[i] == 16 ? j.hmac64 : 0);
		if (lens[i] == 24)
			CHECK_MEM(s.mp.join.hmac, j.hmac, sizeof j.hmac);
	}
}

SN_TEST(dss_survives_for_every_combination_of_flags)
{
	for (uint32_t bits = 0; bits < 64; bits++) {
		uint8_t flags = (uint8_t)((bits & 0x1f) | (bits & 0x20 ? SN_DSS_HAS_CSUM : 0));
		struct sn_mp_dss d = {.flags = flags,
				      .ack = 0xa1a2a3a4a5a6a7a8ull,
				      .dsn = 0xd1d2d3d4d5d6d7d8ull,
				      .ssn = 0x51525354,
				      .len = 0x1a1b,
				      .csum = 0xc5c6};
		uint8_t o[40], want = flags;
		struct sn_tcp_seg s;

		if (!(flags & SN_DSS_ACK))
			want &= (uint8_t)~SN_DSS_ACK64;
		if (!(flags & SN_DSS_MAP))
			want &= (uint8_t) ~(SN_DSS_DSN64 | SN_DSS_FIN | SN_DSS_HAS_CSUM);
		uint32_t n = sn_mp_emit_dss(o, &d);
		CHECK_EQ(n & 3, 0);
		CHECK_EQ(n, sn_mp_dss_len(flags));
		CHECK_EQ(parse(&s, o, n), SN_OK);
		CHECK_EQ(s.mp.present, SN_MP_BIT(SN_MP_DSS));
		CHECK_EQ(s.mp.dss.flags, want);
		CHECK_EQ(s.mp.dss.ack, !(want & SN_DSS_ACK) ? 0 : want & SN_DSS_ACK64 ? d.ack : (uint32_t)d.ack);
		CHECK_EQ(s.mp.dss.dsn, !(want & SN_DSS_MAP) ? 0 : want & SN_DSS_DSN64 ? d.dsn : (uint32_t)d.dsn);
		CHECK_EQ(s.mp.dss.ssn, want & SN_DSS_MAP ? d.ssn : 0);
		CHECK_EQ(s.mp.dss.len, want & SN_DSS_MAP ? d.len : 0);
		CHECK_EQ(s.mp.dss.csum, want & SN_DSS_HAS_CSUM ? d.csum : 0);
	}
}

SN_TEST(a_lone_data_fin_and_an_infinite_mapping_are_read_as_they_are)
{
	struct sn_mp_dss fin = {.flags = SN_DSS_ACK | SN_DSS_ACK64 | SN_DSS_MAP | SN_DSS_DSN64 | SN_DSS_FIN,
				.ack = 5,
				.dsn = 9,
				.ssn = 0,
				.len = 1};
	struct sn_mp_dss infinite = {.flags = SN_DSS_MAP | SN_DSS_DSN64, .dsn = 9, .ssn = 77, .len = 0};
	uint8_t o[28];
	struct sn_tcp_seg s;

	CHECK_EQ(parse(&s, o, sn_mp_emit_dss(o, &fin)), SN_OK);
	CHECK_EQ(s.mp.dss.flags, fin.flags);
	CHECK_EQ(s.mp.dss.ssn, 0);
	CHECK_EQ(s.mp.dss.len, 1);
	CHECK_EQ(parse(&s, o, sn_mp_emit_dss(o, &infinite)), SN_OK);
	CHECK_EQ(s.mp.dss.ssn, 77);
	CHECK_EQ(s.mp.dss.len, 0);
}

SN_TEST(dss_with_full_width_takes_28_bytes_with_and_without_a_checksum)
{
	uint8_t flags = SN_DSS_ACK | SN_DSS_ACK64 | SN_DSS_MAP | SN_DSS_DSN64;

	CHECK_EQ(sn_mp_dss_len(flags), 28);
	CHECK_EQ(sn_mp_dss_len(flags | SN_DSS_HAS_CSUM), 28);
	CHECK_EQ(sn_mp_dss_len(SN_DSS_ACK | SN_DSS_ACK64), 12);
	CHECK_EQ(sn_mp_dss_len(SN_DSS_ACK), 8);
}

SN_TEST(add_addr_survives_in_every_form)
{
	static const uint8_t wire_len[8] = {16, 8, 18, 10, 28, 20, 30, 22};

	for (uint32_t form = 0; form < 8; form++) {
		struct sn_mp_add_addr a = {.id = 9,
					   .echo = form & 1,
					   .has_port = form >> 1 & 1,
					   .family = form & 4 ? 6 : 4,
					   .hmac = 0x0123456789abcdefull};
		uint8_t o[32];
		struct sn_tcp_seg s;

		a.port = a.has_port ? 4433 : 0;
		if (a.family == 4)
			a.addr = sn_addr_v4(0x0a000102);
		else
			for (uint32_t i = 0; i < 16; i++)
				a.addr.b[i] = (uint8_t)(0x20 + i);
		uint32_t n = sn_mp_emit_add_addr(o, &a);
		CHECK_EQ(o[1], wire_len[form]);
		CHECK_EQ(n, sn_mp_add_addr_len(&a));
		CHECK_EQ(n, (wire_len[form] + 3) & ~3);
		CHECK_EQ(parse(&s, o, n), SN_OK);
		CHECK_EQ(s.mp.present, SN_MP_BIT(SN_MP_ADD_ADDR));
		CHECK_EQ(s.mp.add_addr.id, 9);
		CHECK_EQ(s.mp.add_addr.echo, a.echo);
		CHECK_EQ(s.mp.add_addr.family, a.family);
		CHECK_EQ(s.mp.add_addr.has_port, a.has_port);
		CHECK_EQ(s.mp.add_addr.port, a.port);
		CHECK_EQ(s.mp.add_addr.hmac, a.echo ? 0 : a.hmac);
		CHECK(sn_addr_eq(&s.mp.add_addr.addr, &a.addr));
	}
}

SN_TEST(remove_addr_survives_for_every_count)
{
	for (uint8_t k = 1; k <= SN_MAX_SUBFLOWS; k++) {
		struct sn_mp_remove_addr r = {.n = k};
		uint8_t o[20];
		struct sn_tcp_seg s;
		for (uint8_t i = 0; i < k; i++)
			r.id[i] = (uint8_t)(i + 1);
		uint32_t n = sn_mp_emit_remove_addr(o, &r);
		CHECK_EQ(n, (3 + k + 3) & ~3);
		CHECK_EQ(parse(&s, o, n), SN_OK);
		CHECK_EQ(s.mp.remove_addr.n, k);
		CHECK_MEM(s.mp.remove_addr.id, r.id, k);
	}
}

SN_TEST(small_options_survive)
{
	uint8_t o[40];
	struct sn_tcp_seg s;
	uint32_t n = sn_mp_emit_prio(o, true);

	n += sn_mp_emit_fail(o + n, 0x1122334455667788ull);
	n += sn_mp_emit_fastclose(o + n, 0x99aabbccddeeff00ull);
	n += sn_mp_emit_tcprst(o + n, 0x1, 6);
	CHECK_EQ(n, 32);
	CHECK_EQ(parse(&s, o, n), SN_OK);
	CHECK_EQ(s.mp.present,
		 SN_MP_BIT(SN_MP_PRIO) | SN_MP_BIT(SN_MP_FAIL) | SN_MP_BIT(SN_MP_FASTCLOSE) | SN_MP_BIT(SN_MP_TCPRST));
	CHECK_EQ(s.mp.prio_backup, 1);
	CHECK_EQ(s.mp.fail_dsn, 0x1122334455667788ll);
	CHECK_EQ(s.mp.fastclose_key, (long long)0x99aabbccddeeff00ull);
	CHECK_EQ(s.mp.rst_flags, 1);
	CHECK_EQ(s.mp.rst_reason, 6);
}

SN_TEST(dss_behind_timestamps_is_read_as_on_a_data_segment)
{
	struct sn_mp_dss d = {.flags = SN_DSS_ACK | SN_DSS_ACK64 | SN_DSS_MAP | SN_DSS_DSN64,
			      .ack = 1,
			      .dsn = 2,
			      .ssn = 3,
			      .len = 1400};
	uint8_t o[40];
	struct sn_tcp_seg s;
	uint32_t n = sn_opt_emit_ts(o, 10, 20);

	n += sn_mp_emit_dss(o + n, &d);
	CHECK_EQ(n, 40);
	CHECK_EQ(parse(&s, o, n), SN_OK);
	CHECK_EQ(s.opts, SN_OPT_TS);
	CHECK_EQ(s.ts_val, 10);
	CHECK_EQ(s.ts_ecr, 20);
	CHECK_EQ(s.mp.dss.len, 1400);
	CHECK_EQ(s.mp.dss.dsn, 2);
}

SN_TEST_MAIN()

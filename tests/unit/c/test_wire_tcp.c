/* SPDX-License-Identifier: Apache-2.0
 *
 * TCP header and plain options: what is accepted, what is refused, and that writing and parsing are inverse.
 */
#include "sn_test.h"
#include "wire/tcp.h"

/* A header with the given option bytes, padded with NOP to a multiple of 4. Returns its length. */
static uint32_t with_options(uint8_t *p, const uint8_t *opts, uint32_t n)
{
	struct sn_tcp_seg s = {.sport = 1, .dport = 2, .flags = SN_TH_ACK};
	uint32_t padded = (n + 3) & ~3u;

	sn_tcp_emit(p, &s, padded);
	memset(p + SN_TCP_HDR_MIN, 1, padded);
	memcpy(p + SN_TCP_HDR_MIN, opts, n);
	return SN_TCP_HDR_MIN + padded;
}
#define PARSE(seg, ...)                                                    \
	({                                                                 \
		const uint8_t opts_[] = {__VA_ARGS__};                     \
		uint8_t frame_[64];                                        \
		memset(&(seg), 0xa5, sizeof(seg));                         \
		uint32_t len_ = with_options(frame_, opts_, sizeof opts_); \
		sn_tcp_parse(&(seg), frame_, len_);                        \
	})

SN_TEST(header_fields_survive_writing_and_parsing)
{
	uint8_t p[40];
	struct sn_tcp_seg out = {.sport = 0x1234,
				 .dport = 0xfedc,
				 .seq = 0xdeadbeef,
				 .ack = 0x01020304,
				 .wnd = 0xabcd,
				 .urg = 0x7766,
				 .flags = SN_TH_SYN | SN_TH_ACK | SN_TH_ECE | SN_TH_CWR};
	struct sn_tcp_seg in;

	sn_tcp_emit(p, &out, 0);
	CHECK_EQ(sn_tcp_parse(&in, p, 40), SN_OK);
	CHECK_EQ(in.sport, out.sport);
	CHECK_EQ(in.dport, out.dport);
	CHECK_EQ(in.seq, out.seq);
	CHECK_EQ(in.ack, out.ack);
	CHECK_EQ(in.wnd, out.wnd);
	CHECK_EQ(in.urg, out.urg);
	CHECK_EQ(in.flags, out.flags);
	CHECK_EQ(in.hdr_len, 20);
	CHECK_EQ(in.len, 20);
	CHECK_EQ(in.opts, 0);
	CHECK_EQ(in.mp.present, 0);
	CHECK_EQ(in.nsack, 0);
}

SN_TEST(short_and_inconsistent_headers_are_refused)
{
	uint8_t p[60] = {0};
	struct sn_tcp_seg in, out = {.flags = SN_TH_ACK};

	sn_tcp_emit(p, &out, 0);
	for (uint32_t len = 0; len < 20; len++)
		CHECK_EQ(sn_tcp_parse(&in, p, len), SN_E_PROTO);
	p[12] = 0x40; /* offset below the minimum */
	CHECK_EQ(sn_tcp_parse(&in, p, 60), SN_E_PROTO);
	p[12] = 0xf0; /* 60 bytes of header in 59 */
	CHECK_EQ(sn_tcp_parse(&in, p, 59), SN_E_PROTO);
	CHECK_EQ(sn_tcp_parse(&in, p, 60), SN_OK);
	CHECK_EQ(in.len, 0);
}

SN_TEST(every_plain_option_survives_writing_and_parsing)
{
	uint8_t p[60];
	struct sn_tcp_seg in, out = {.flags = SN_TH_SYN};
	uint32_t n = 0;

	n += sn_opt_emit_mss(p + 20 + n, 1460);
	n += sn_opt_emit_sack_ok(p + 20 + n);
	n += sn_opt_emit_ts(p + 20 + n, 0x11223344, 0x55667788);
	n += sn_opt_emit_wscale(p + 20 + n, 9);
	CHECK_EQ(n, 24);
	sn_tcp_emit(p, &out, n);
	CHECK_EQ(sn_tcp_parse(&in, p, 20 + n), SN_OK);
	CHECK_EQ(in.opts, SN_OPT_MSS | SN_OPT_SACK_OK | SN_OPT_TS | SN_OPT_WSCALE);
	CHECK_EQ(in.mss, 1460);
	CHECK_EQ(in.wscale, 9);
	CHECK_EQ(in.ts_val, 0x11223344);
	CHECK_EQ(in.ts_ecr, 0x55667788);
	CHECK_EQ(in.mp.bad, 0);
}

SN_TEST(fast_open_cookies_survive_at_every_legal_length)
{
	uint8_t p[60];

	for (uint8_t len = 0; len <= SN_TFO_COOKIE_MAX; len++) {
		struct sn_tcp_seg in, out = {.flags = SN_TH_SYN};
		struct sn_tfo_cookie c = {.len = len};
		for (uint8_t i = 0; i < len; i++)
			c.b[i] = (uint8_t)(0xa0 + i);
		uint32_t n = sn_opt_emit_fastopen(p + 20, &c);
		CHECK_EQ(n, sn_opt_fastopen_len(&c));
		CHECK_EQ(n % 4, 0);
		sn_tcp_emit(p, &out, n);
		CHECK_EQ(sn_tcp_parse(&in, p, 20 + n), SN_OK);
		bool legal = len == 0 || (len >= 4 && len % 2 == 0);
		CHECK_EQ(in.opts, legal ? SN_OPT_FASTOPEN : 0);
		if (legal) {
			CHECK_EQ(in.tfo.len, len);
			CHECK_MEM(in.tfo.b, c.b, len);
			CHECK(!in.early);
		}
	}
}

SN_TEST(sack_blocks_survive_for_every_count)
{
	struct sn_sack_block b[4] = {{1, 2}, {0xfffffff0, 5}, {7, 8}, {9, 10}};
	uint8_t p[60];

	CHECK_EQ(sn_opt_emit_sack(p + 20, b, 0), 0);
	for (uint32_t k = 1; k <= 4; k++) {
		struct sn_tcp_seg in, out = {.flags = SN_TH_ACK};
		uint32_t n = sn_opt_emit_sack(p + 20, b, k);
		CHECK_EQ(n, 4 + 8 * k);
		sn_tcp_emit(p, &out, n);
		CHECK_EQ(sn_tcp_parse(&in, p, 20 + n), SN_OK);
		CHECK_EQ(in.nsack, k);
		CHECK_EQ(in.opts, SN_OPT_SACK);
		CHECK_MEM(in.sack, b, k * sizeof b[0]);
	}
}

SN_TEST(timestamps_behind_sack_fit_and_are_read)
{
	uint8_t p[60];
	struct sn_sack_block b[3] = {{1, 2}, {3, 4}, {5, 6}};
	struct sn_tcp_seg in, out = {.flags = SN_TH_ACK};
	uint32_t n = sn_opt_emit_ts(p + 20, 1, 2);

	n += sn_opt_emit_sack(p + 20 + n, b, 3);
	CHECK_EQ(n, 40);
	sn_tcp_emit(p, &out, n);
	CHECK_EQ(sn_tcp_parse(&in, p, 60), SN_OK);
	CHECK_EQ(in.opts, SN_OPT_SACK | SN_OPT_TS);
	CHECK_EQ(in.nsack, 3);
}

SN_TEST(an_option_of_length_zero_or_one_is_refused)
{
	struct sn_tcp_seg s;

	CHECK_EQ(PARSE(s, 2, 0, 5, 0xb4), SN_E_PROTO);
	CHECK_EQ(PARSE(s, 2, 1, 5, 0xb4), SN_E_PROTO);
	CHECK_EQ(PARSE(s, 77, 0), SN_E_PROTO);
	CHECK_EQ(PARSE(s, 30, 1, 0, 0), SN_E_PROTO);
}

SN_TEST(an_option_running_over_the_end_is_refused)
{
	struct sn_tcp_seg s;

	CHECK_EQ(PARSE(s, 1, 1, 1, 8), SN_E_PROTO);    /* kind without a length */
	CHECK_EQ(PARSE(s, 2, 5, 5, 0xb4), SN_E_PROTO); /* one byte too long */
	CHECK_EQ(PARSE(s, 8, 10, 0, 0, 0, 0, 0, 0), SN_E_PROTO);
	CHECK_EQ(PARSE(s, 1, 1, 8, 10, 0, 0, 0, 0), SN_E_PROTO); /* the usual layout, cut */
	CHECK_EQ(PARSE(s, 30, 20, 0x20, 5, 0, 0, 0, 0), SN_E_PROTO);
	CHECK_EQ(PARSE(s, 77, 255, 0, 0), SN_E_PROTO);
}

SN_TEST(an_option_of_a_wrong_length_is_stepped_over)
{
	struct sn_tcp_seg s;

	CHECK_EQ(PARSE(s, 2, 3, 5, 3, 3, 7, 4, 3, 0), SN_OK);
	CHECK_EQ(s.opts, SN_OPT_WSCALE);
	CHECK_EQ(s.wscale, 7);
	CHECK_EQ(PARSE(s, 5, 9, 0, 0, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4), SN_OK);
	CHECK_EQ(s.opts, SN_OPT_MSS);
	CHECK_EQ(PARSE(s, 5, 2), SN_OK); /* SACK without a block */
	CHECK_EQ(s.opts, 0);
}

SN_TEST(unknown_options_are_stepped_over_and_the_list_ends_at_zero)
{
	struct sn_tcp_seg s;

	CHECK_EQ(PARSE(s, 254, 4, 1, 2, 6, 2, 2, 4, 5, 0xb4), SN_OK);
	CHECK_EQ(s.mss, 1460);
	CHECK_EQ(PARSE(s, 0, 2, 4, 5, 0xb4), SN_OK);
	CHECK_EQ(s.opts, 0);
	CHECK_EQ(PARSE(s, 0, 2, 0, 0), SN_OK); /* garbage behind the end is not read */
}

SN_TEST(a_window_scale_above_14_counts_as_14)
{
	struct sn_tcp_seg s;

	CHECK_EQ(PARSE(s, 3, 3, 200), SN_OK);
	CHECK_EQ(s.wscale, 14);
}

SN_TEST(random_bytes_never_read_outside_the_header)
{
	uint32_t x = 1;

	for (int round = 0; round < 200000; round++) {
		uint8_t p[60];
		struct sn_tcp_seg s;
		for (uint32_t i = 0; i < sizeof p; i++) {
			x = x * 1664525 + 1013904223;
			p[i] = (uint8_t)(x >> 24);
		}
		if (round & 1) { /* half of them with plausible MPTCP heads */
			p[12] |= 0x50;
			p[20] = 30;
			p[21] = (uint8_t)(p[21] % 41);
			p[22] = (uint8_t)(p[22] % 0x90);
		}
		enum sn_err err = sn_tcp_parse(&s, p, sizeof p);
		CHECK(err == SN_OK || err == SN_E_PROTO);
		if (err == SN_OK)
			CHECK(s.hdr_len + s.len == sizeof p && s.nsack <= 4 && s.wscale <= 14);
	}
}

SN_TEST_MAIN()

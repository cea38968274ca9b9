/* SPDX-License-Identifier: Apache-2.0
 *
 * TCP header (RFC 9293 3.1) and the walk over its options: one table says for every kind which lengths are legal and who
 * takes it. MPTCP's subtypes are a second table of the same shape (mp_opts.c).
 *
 *   kind  length  name             RFC
 *      0       1  end of list      9293 3.2
 *      1       1  no operation     9293 3.2
 *      2       4  MSS              9293 3.7.1
 *      3       3  window scale     7323 2.2
 *      4       2  SACK permitted   2018 2
 *      5    8n+2  SACK blocks      2018 3
 *      8      10  timestamps       7323 3.2
 *     30    >= 3  MPTCP            8684 3
 *     34 2, 6..18  Fast Open cookie 7413 4.1.1
 */
#include "wire/tcp.h"

#include "wire/options.h"

static bool take_mss(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	(void)len;
	seg->mss = sn_get16(p + 2);
	seg->opts |= SN_OPT_MSS;
	return true;
}

static bool take_wscale(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	(void)len;
	seg->wscale = SN_MIN(p[2], 14); /* RFC 7323 2.3: a larger shift is used as 14 */
	seg->opts |= SN_OPT_WSCALE;
	return true;
}

static bool take_sack_ok(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	(void)p;
	(void)len;
	seg->opts |= SN_OPT_SACK_OK;
	return true;
}

static bool take_sack(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	seg->nsack = (uint8_t)((len - 2) / 8);
	for (uint32_t i = 0; i < seg->nsack; i++) {
		seg->sack[i].left = sn_get32(p + 2 + 8 * i);
		seg->sack[i].right = sn_get32(p + 6 + 8 * i);
	}
	seg->opts |= SN_OPT_SACK;
	return true;
}

static bool take_ts(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	(void)len;
	seg->ts_val = sn_get32(p + 2);
	seg->ts_ecr = sn_get32(p + 6);
	seg->opts |= SN_OPT_TS;
	return true;
}

static bool take_fastopen(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	seg->tfo.len = (uint8_t)(len - 2);
	memcpy(seg->tfo.b, p + 2, len - 2);
	seg->early = NULL;
	seg->opts |= SN_OPT_FASTOPEN;
	return true;
}

static const struct sn_opt_rule plain_rules[] = {
	[SN_KIND_MSS] = {SN_LEN(4), take_mss},
	[SN_KIND_WSCALE] = {SN_LEN(3), take_wscale},
	[SN_KIND_SACK_OK] = {SN_LEN(2), take_sack_ok},
	[SN_KIND_SACK] = {SN_LEN(10) | SN_LEN(18) | SN_LEN(26) | SN_LEN(34), take_sack},
	[SN_KIND_TS] = {SN_LEN(10), take_ts},
	[SN_KIND_FASTOPEN] = {SN_LEN(2) | SN_LEN(6) | SN_LEN(8) | SN_LEN(10) | SN_LEN(12) | SN_LEN(14) | SN_LEN(16) |
				      SN_LEN(18),
			      take_fastopen},
};
enum { PLAIN_KINDS = sizeof plain_rules / sizeof plain_rules[0] };

/* A plain option of a wrong length is stepped over like an unknown one; an MPTCP option also counts as bad. A second
 * MPTCP option of the same subtype is bad: the first one stands. */
static void take_option(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	uint8_t kind = p[0];

	if (kind == SN_KIND_MPTCP) {
		uint32_t subtype = len > 2 ? p[2] >> 4 : 15;
		const struct sn_opt_rule *rule = &sn_mp_rules[subtype];
		if ((rule->lengths >> len & 1) && !(seg->mp.present & SN_MP_BIT(subtype)) && rule->take(seg, p, len))
			seg->mp.present |= (uint16_t)SN_MP_BIT(subtype);
		else
			seg->mp.bad++;
	} else if (kind < PLAIN_KINDS && (plain_rules[kind].lengths >> len & 1)) {
		plain_rules[kind].take(seg, p, len);
	}
}

enum sn_err sn_tcp_parse_options(struct sn_tcp_seg *seg, const uint8_t *p, const uint8_t *end)
{
	while (p < end) {
		if (p[0] == SN_KIND_END)
			break;
		if (p[0] == SN_KIND_NOP) {
			p++;
			continue;
		}
		if (end - p < 2 || p[1] < 2 || p[1] > end - p)
			return SN_E_PROTO;
		take_option(seg, p, p[1]);
		p += p[1];
	}
	return SN_OK;
}

void sn_tcp_emit(uint8_t *p, const struct sn_tcp_seg *seg, uint32_t opt_len)
{
	sn_put16(p, seg->sport);
	sn_put16(p + 2, seg->dport);
	sn_put32(p + 4, seg->seq);
	sn_put32(p + 8, seg->ack);
	p[12] = (uint8_t)((SN_TCP_HDR_MIN + opt_len) / 4 << 4);
	p[13] = seg->flags;
	sn_put16(p + 14, seg->wnd);
	sn_put16(p + 16, 0);
	sn_put16(p + 18, seg->urg);
}

void sn_tcp_set_csum(uint8_t *p, uint16_t csum) { sn_put16(p + 16, csum); }

uint32_t sn_opt_emit_mss(uint8_t *p, uint16_t mss)
{
	p[0] = SN_KIND_MSS;
	p[1] = 4;
	sn_put16(p + 2, mss);
	return 4;
}

uint32_t sn_opt_emit_wscale(uint8_t *p, uint8_t shift)
{
	p[0] = SN_KIND_NOP;
	p[1] = SN_KIND_WSCALE;
	p[2] = 3;
	p[3] = shift;
	return 4;
}

uint32_t sn_opt_emit_sack_ok(uint8_t *p)
{
	p[0] = p[1] = SN_KIND_NOP;
	p[2] = SN_KIND_SACK_OK;
	p[3] = 2;
	return 4;
}

uint32_t sn_opt_emit_fastopen(uint8_t *p, const struct sn_tfo_cookie *cookie)
{
	uint32_t pad = sn_opt_fastopen_len(cookie) - 2 - cookie->len;

	memset(p, SN_KIND_NOP, pad);
	p[pad] = SN_KIND_FASTOPEN;
	p[pad + 1] = (uint8_t)(2 + cookie->len);
	memcpy(p + pad + 2, cookie->b, cookie->len);
	return pad + 2 + cookie->len;
}

uint32_t sn_opt_emit_sack(uint8_t *p, const struct sn_sack_block *blocks, uint32_t n)
{
	if (n == 0)
		return 0;
	p[0] = p[1] = SN_KIND_NOP;
	p[2] = SN_KIND_SACK;
	p[3] = (uint8_t)(2 + 8 * n);
	for (uint32_t i = 0; i < n; i++) {
		sn_put32(p + 4 + 8 * i, blocks[i].left);
		sn_put32(p + 8 + 8 * i, blocks[i].right);
	}
	return 4 + 8 * n;
}

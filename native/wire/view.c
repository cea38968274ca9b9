/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/view.h"

#include "wire/checksum.h"
#include "wire/icmp6.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"

_Static_assert(sizeof(((struct sn_wire_view *)0)->remove_id) == SN_MAX_SUBFLOWS, "room for every id");

static void view_mptcp(struct sn_wire_view *v, const struct sn_mp_opts *mp)
{
	v->mp_present = mp->present;
	v->mp_bad = mp->bad;
	if (mp->present & SN_MP_BIT(SN_MP_CAPABLE)) {
		v->capable_len = mp->capable.len;
		v->capable_version = mp->capable.version;
		v->capable_flags = mp->capable.flags;
		v->capable_data_len = mp->capable.data_len;
		v->capable_csum = mp->capable.csum;
		v->capable_sender_key = mp->capable.sender_key;
		v->capable_receiver_key = mp->capable.receiver_key;
	}
	if (mp->present & SN_MP_BIT(SN_MP_JOIN)) {
		v->join_len = mp->join.len;
		v->join_backup = mp->join.backup;
		v->join_addr_id = mp->join.addr_id;
		v->join_token = mp->join.token;
		v->join_nonce = mp->join.nonce;
		v->join_hmac64 = mp->join.hmac64;
		if (v->join_len == 24)
			memcpy(v->join_hmac, mp->join.hmac, sizeof v->join_hmac);
	}
	if (mp->present & SN_MP_BIT(SN_MP_DSS)) {
		v->dss_flags = mp->dss.flags;
		v->dss_ack = mp->dss.ack;
		v->dss_dsn = mp->dss.dsn;
		v->dss_ssn = mp->dss.ssn;
		v->dss_len = mp->dss.len;
		v->dss_csum = mp->dss.csum;
	}
	if (mp->present & SN_MP_BIT(SN_MP_ADD_ADDR)) {
		v->add_addr_id = mp->add_addr.id;
		v->add_addr_echo = mp->add_addr.echo;
		v->add_addr_family = mp->add_addr.family;
		v->add_addr_has_port = mp->add_addr.has_port;
		v->add_addr_port = mp->add_addr.port;
		v->add_addr_hmac = mp->add_addr.hmac;
		memcpy(v->add_addr, mp->add_addr.addr.b, sizeof v->add_addr);
	}
	if (mp->present & SN_MP_BIT(SN_MP_REMOVE_ADDR)) {
		v->remove_n = mp->remove_addr.n;
		memcpy(v->remove_id, mp->remove_addr.id, v->remove_n);
	}
	if (mp->present & SN_MP_BIT(SN_MP_PRIO))
		v->prio_backup = mp->prio_backup;
	if (mp->present & SN_MP_BIT(SN_MP_FAIL))
		v->fail_dsn = mp->fail_dsn;
	if (mp->present & SN_MP_BIT(SN_MP_FASTCLOSE))
		v->fastclose_key = mp->fastclose_key;
	if (mp->present & SN_MP_BIT(SN_MP_TCPRST)) {
		v->rst_flags = mp->rst_flags;
		v->rst_reason = mp->rst_reason;
	}
}

int32_t sn_wire_parse_tcp(const uint8_t *p, uint32_t len, struct sn_wire_view *v)
{
	struct sn_tcp_seg s;
	enum sn_err err = sn_tcp_parse(&s, p, len);

	memset(v, 0, sizeof *v);
	if (err)
		return err;
	v->seq = s.seq;
	v->ack = s.ack;
	v->sport = s.sport;
	v->dport = s.dport;
	v->wnd = s.wnd;
	v->urg = s.urg;
	v->flags = s.flags;
	v->hdr_len = s.hdr_len;
	v->opts = s.opts;
	v->wscale = s.wscale;
	v->mss = s.mss;
	v->nsack = s.nsack;
	if (s.opts & SN_OPT_FASTOPEN) {
		v->fastopen_len = s.tfo.len;
		memcpy(v->fastopen, s.tfo.b, s.tfo.len);
	}
	v->ts_val = s.ts_val;
	v->ts_ecr = s.ts_ecr;
	v->len = s.len;
	for (uint32_t i = 0; i < s.nsack; i++) {
		v->sack[2 * i] = s.sack[i].left;
		v->sack[2 * i + 1] = s.sack[i].right;
	}
	view_mptcp(v, &s.mp);
	return SN_OK;
}

/* Room for any one of each: checked against SN_TCP_OPT_MAX afterwards. */
enum { SCRATCH = 256 };

static uint32_t emit_plain(uint8_t *p, const struct sn_wire_view *v)
{
	uint32_t n = 0;

	if (v->opts & SN_OPT_MSS)
		n += sn_opt_emit_mss(p + n, v->mss);
	if (v->opts & SN_OPT_SACK_OK)
		n += sn_opt_emit_sack_ok(p + n);
	if (v->opts & SN_OPT_TS)
		n += sn_opt_emit_ts(p + n, v->ts_val, v->ts_ecr);
	if (v->opts & SN_OPT_WSCALE)
		n += sn_opt_emit_wscale(p + n, v->wscale);
	if (v->opts & SN_OPT_SACK) {
		struct sn_sack_block blocks[4];
		for (uint32_t i = 0; i < v->nsack; i++)
			blocks[i] = (struct sn_sack_block){v->sack[2 * i], v->sack[2 * i + 1]};
		n += sn_opt_emit_sack(p + n, blocks, v->nsack);
	}
	if (v->opts & SN_OPT_FASTOPEN) {
		struct sn_tfo_cookie cookie = {.len = v->fastopen_len};
		memcpy(cookie.b, v->fastopen, v->fastopen_len);
		n += sn_opt_emit_fastopen(p + n, &cookie);
	}
	return n;
}

static uint32_t emit_mptcp(uint8_t *p, const struct sn_wire_view *v)
{
	uint32_t n = 0;

	if (v->mp_present & SN_MP_BIT(SN_MP_CAPABLE)) {
		struct sn_mp_capable c = {.len = v->capable_len,
					  .version = v->capable_version,
					  .flags = v->capable_flags,
					  .data_len = v->capable_data_len,
					  .csum = v->capable_csum,
					  .sender_key = v->capable_sender_key,
					  .receiver_key = v->capable_receiver_key};
		n += sn_mp_emit_capable(p + n, &c);
	}
	if (v->mp_present & SN_MP_BIT(SN_MP_JOIN)) {
		struct sn_mp_join j = {.len = v->join_len,
				       .backup = v->join_backup,
				       .addr_id = v->join_addr_id,
				       .token = v->join_token,
				       .nonce = v->join_nonce,
				       .hmac64 = v->join_hmac64};
		memcpy(j.hmac, v->join_hmac, sizeof j.hmac);
		n += sn_mp_emit_join(p + n, &j);
	}
	if (v->mp_present & SN_MP_BIT(SN_MP_DSS)) {
		struct sn_mp_dss d = {.flags = v->dss_flags,
				      .ack = v->dss_ack,
				      .dsn = v->dss_dsn,
				      .ssn = v->dss_ssn,
				      .len = v->dss_len,
				      .csum = v->dss_csum};
		n += sn_mp_emit_dss(p + n, &d);
	}
	if (v->mp_present & SN_MP_BIT(SN_MP_ADD_ADDR)) {
		struct sn_mp_add_addr a = {.id = v->add_addr_id,
					   .echo = v->add_addr_echo,
					   .family = v->add_addr_family,
					   .has_port = v->add_addr_has_port,
					   .port = v->add_addr_port,
					   .hmac = v->add_addr_hmac};
		memcpy(a.addr.b, v->add_addr, sizeof a.addr.b);
		n += sn_mp_emit_add_addr(p + n, &a);
	}
	if (v->mp_present & SN_MP_BIT(SN_MP_REMOVE_ADDR)) {
		struct sn_mp_remove_addr r = {.n = v->remove_n};
		memcpy(r.id, v->remove_id, sizeof r.id);
		n += sn_mp_emit_remove_addr(p + n, &r);
	}
	if (v->mp_present & SN_MP_BIT(SN_MP_PRIO))
		n += sn_mp_emit_prio(p + n, v->prio_backup);
	if (v->mp_present & SN_MP_BIT(SN_MP_FAIL))
		n += sn_mp_emit_fail(p + n, v->fail_dsn);
	if (v->mp_present & SN_MP_BIT(SN_MP_FASTCLOSE))
		n += sn_mp_emit_fastclose(p + n, v->fastclose_key);
	if (v->mp_present & SN_MP_BIT(SN_MP_TCPRST))
		n += sn_mp_emit_tcprst(p + n, v->rst_flags, v->rst_reason);
	return n;
}

static bool writable(const struct sn_wire_view *v)
{
	if (v->mp_present >> (SN_MP_TCPRST + 1) || ((v->opts & SN_OPT_SACK) && (v->nsack < 1 || v->nsack > 4)))
		return false;
	if ((v->opts & SN_OPT_FASTOPEN) &&
	    (v->fastopen_len > SN_TFO_COOKIE_MAX || v->fastopen_len % 2 || v->fastopen_len == 2))
		return false;
	if ((v->mp_present & SN_MP_BIT(SN_MP_CAPABLE)) &&
	    ((v->capable_len != 4 && v->capable_len != 12 && v->capable_len != 20 && v->capable_len != 22 &&
	      v->capable_len != 24) ||
	     v->capable_version > 15))
		return false;
	if ((v->mp_present & SN_MP_BIT(SN_MP_JOIN)) && v->join_len != 12 && v->join_len != 16 && v->join_len != 24)
		return false;
	if ((v->mp_present & SN_MP_BIT(SN_MP_ADD_ADDR)) && v->add_addr_family != 4 && v->add_addr_family != 6)
		return false;
	return !(v->mp_present & SN_MP_BIT(SN_MP_REMOVE_ADDR)) || (v->remove_n >= 1 && v->remove_n <= SN_MAX_SUBFLOWS);
}

int32_t sn_wire_emit_tcp(const struct sn_wire_view *v, uint8_t out[60])
{
	uint8_t opts[SCRATCH];
	struct sn_tcp_seg s;

	if (!writable(v))
		return SN_E_INVAL;
	uint32_t n = emit_plain(opts, v);
	n += emit_mptcp(opts + n, v);
	if (n > SN_TCP_OPT_MAX)
		return SN_E_MSGSIZE;
	s.sport = v->sport;
	s.dport = v->dport;
	s.seq = v->seq;
	s.ack = v->ack;
	s.flags = v->flags;
	s.wnd = v->wnd;
	s.urg = v->urg;
	sn_tcp_emit(out, &s, n);
	memcpy(out + SN_TCP_HDR_MIN, opts, n);
	return (int32_t)(SN_TCP_HDR_MIN + n);
}

int32_t sn_wire_parse_ip6(const uint8_t *p, uint32_t len, struct sn_wire_ip6_view *v)
{
	struct sn_ip ip;
	struct sn_icmp6 m;
	struct sn_nd nd;
	enum sn_ipv6_verdict verdict = sn_ipv6_parse(&ip, p, len);

	memset(v, 0, sizeof *v);
	if (verdict != SN_IPV6_OK)
		return verdict == SN_IPV6_FRAGMENT ? SN_E_AGAIN : SN_E_PROTO;
	memcpy(v->src, ip.src.b, sizeof v->src);
	memcpy(v->dst, ip.dst.b, sizeof v->dst);
	v->hdr_len = ip.hdr_len;
	v->total_len = ip.total_len;
	v->proto = ip.proto;
	v->tos = ip.tos;
	v->ttl = ip.ttl;
	p += ip.hdr_len;
	len = ip.total_len - (uint32_t)ip.hdr_len;
	if (ip.proto != SN_IP_ICMP6 || !sn_icmp6_parse(&m, &ip, p, len))
		return SN_OK;
	v->type = m.type;
	v->code = m.code;
	v->echo_id = m.id;
	v->echo_seq = m.seq;
	v->is_nd = sn_nd_parse(&nd, &ip, p, len);
	if (v->is_nd) {
		v->nd_flags = nd.flags;
		v->nd_has_mac = nd.has_mac;
		memcpy(v->nd_target, nd.target.b, sizeof v->nd_target);
		if (nd.has_mac)
			memcpy(v->nd_mac, nd.mac, sizeof v->nd_mac);
	}
	return SN_OK;
}

int32_t sn_wire_emit_ip6(const struct sn_wire_ip6_view *v, const uint8_t *data, uint32_t len, uint8_t *out,
			 uint32_t room)
{
	struct sn_ip ip = {.proto = SN_IP_ICMP6, .tos = v->tos, .ttl = v->ttl};
	uint8_t *p = out + SN_IPV6_HDR;
	bool is_nd = v->type == SN_ICMP6_SOLICIT || v->type == SN_ICMP6_ADVERTISE;

	if (len > UINT16_MAX - SN_ICMP6_HDR - SN_IPV6_HDR || room < SN_IPV6_HDR + SN_MAX(SN_ND_LEN, SN_ICMP6_HDR + len))
		return SN_E_MSGSIZE;
	memcpy(ip.src.b, v->src, sizeof v->src);
	memcpy(ip.dst.b, v->dst, sizeof v->dst);
	if (is_nd) {
		struct sn_nd nd = {.type = v->type, .flags = v->nd_flags, .has_mac = v->nd_has_mac};
		memcpy(nd.mac, v->nd_mac, sizeof nd.mac);
		memcpy(nd.target.b, v->nd_target, sizeof v->nd_target);
		len = sn_nd_emit(p, &nd, &ip.src, &ip.dst);
	} else {
		struct sn_icmp6 m = {.type = v->type, .code = v->code, .id = v->echo_id, .seq = v->echo_seq};
		memcpy(p + SN_ICMP6_HDR, data, len);
		sn_icmp6_emit(p, &m, &ip.src, &ip.dst, len);
		len += SN_ICMP6_HDR;
	}
	ip.total_len = (uint16_t)(SN_IPV6_HDR + len);
	sn_ipv6_emit(out, &ip);
	return ip.total_len;
}

uint16_t sn_wire_sum(const uint8_t *p, uint32_t len) { return sn_csum_fold(sn_csum_partial(p, len, 0)); }

/* SPDX-License-Identifier: Apache-2.0
 *
 * TCP header and options (RFC 9293 3.1, RFC 7323, RFC 2018), MPTCP options (RFC 8684 3) as plain structs.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-------------------------------+-------------------------------+
 *   |          Source Port          |       Destination Port        |
 *   +-------------------------------+-------------------------------+
 *   |                        Sequence Number                        |
 *   +---------------------------------------------------------------+
 *   |                    Acknowledgment Number                      |
 *   +-------+-------+---------------+-------------------------------+
 *   | Offset|  Rsvd |C|E|U|A|P|R|S|F|           Window              |
 *   +-------+-------+---------------+-------------------------------+
 *   |           Checksum            |         Urgent Pointer        |
 *   +-------------------------------+-------------------------------+
 *   |               Options (0 to 40 bytes, padded)                 |
 *   +---------------------------------------------------------------+
 *
 * Parsing checks lengths once; afterwards nothing indexes packet bytes. All fields are in host order.
 */
#ifndef SN_WIRE_TCP_H
#define SN_WIRE_TCP_H

#include "sn_base.h"

#define SN_TCP_HDR_MIN 20u
#define SN_TCP_OPT_MAX 40u

enum sn_tcp_flag {
	SN_TH_FIN = 1,
	SN_TH_SYN = 2,
	SN_TH_RST = 4,
	SN_TH_PSH = 8,
	SN_TH_ACK = 16,
	SN_TH_URG = 32,
	SN_TH_ECE = 64,
	SN_TH_CWR = 128
};

/* Which plain options were present. */
enum sn_opt_bit {
	SN_OPT_MSS = 1,
	SN_OPT_WSCALE = 2,
	SN_OPT_SACK_OK = 4,
	SN_OPT_SACK = 8,
	SN_OPT_TS = 16,
	SN_OPT_FASTOPEN = 32
};

/* Which MPTCP options were present and well formed (RFC 8684 table 3 subtypes; the bit is 1 << subtype). */
enum sn_mp_subtype {
	SN_MP_CAPABLE = 0,
	SN_MP_JOIN = 1,
	SN_MP_DSS = 2,
	SN_MP_ADD_ADDR = 3,
	SN_MP_REMOVE_ADDR = 4,
	SN_MP_PRIO = 5,
	SN_MP_FAIL = 6,
	SN_MP_FASTCLOSE = 7,
	SN_MP_TCPRST = 8
};
#define SN_MP_BIT(subtype) (1u << (subtype))

/* MP_CAPABLE flags, RFC 8684 3.1. */
enum { SN_MPC_CSUM = 0x80, SN_MPC_EXT = 0x40, SN_MPC_NO_JOIN = 0x20, SN_MPC_HMAC_SHA256 = 0x01 };
struct sn_mp_capable {
	uint8_t len; /* 4, 12, 20, 22 or 24 as on the wire */
	uint8_t version;
	uint8_t flags;
	uint16_t data_len; /* forms 22 and 24 */
	uint16_t csum;     /* form 24 */
	uint64_t sender_key;
	uint64_t receiver_key;
};

/* MP_JOIN, RFC 8684 3.2: the form is told by the length: SYN 12, SYN/ACK 16, ACK 24. */
struct sn_mp_join {
	uint8_t len;
	uint8_t backup;
	uint8_t addr_id;
	uint32_t token;
	uint32_t nonce;
	uint64_t hmac64;  /* SYN/ACK: leftmost 64 bits */
	uint8_t hmac[20]; /* ACK: leftmost 160 bits */
};

/* DSS, RFC 8684 3.3. Flag bits as on the wire. */
enum {
	SN_DSS_ACK = 0x01,
	SN_DSS_ACK64 = 0x02,
	SN_DSS_MAP = 0x04,
	SN_DSS_DSN64 = 0x08,
	SN_DSS_FIN = 0x10,
	SN_DSS_HAS_CSUM = 0x80 /* not on the wire: told by the length */
};
struct sn_mp_dss {
	uint8_t flags;
	uint64_t ack; /* 32 or 64 bits as ACK64 says */
	uint64_t dsn; /* 32 or 64 bits as DSN64 says */
	uint32_t ssn; /* relative subflow sequence number */
	uint16_t len;
	uint16_t csum;
};

/* ADD_ADDR, RFC 8684 3.4.1. */
struct sn_mp_add_addr {
	uint8_t id;
	uint8_t echo;
	uint8_t family; /* 4 or 6 */
	uint8_t has_port;
	uint16_t port;
	uint64_t hmac; /* rightmost 64 bits of the HMAC; absent in an echo */
	struct sn_addr addr;
};

struct sn_mp_remove_addr {
	uint8_t n;
	uint8_t id[SN_MAX_SUBFLOWS];
};

struct sn_mp_opts {
	uint16_t present; /* SN_MP_BIT() */
	uint8_t bad;      /* malformed MPTCP options that were skipped */
	uint8_t prio_backup;
	uint8_t rst_flags, rst_reason; /* MP_TCPRST: flags U V W T in the low nibble; RFC 8684 3.6 reason */
	uint64_t fail_dsn;
	uint64_t fastclose_key;
	struct sn_mp_capable capable;
	struct sn_mp_join join;
	struct sn_mp_dss dss;
	struct sn_mp_add_addr add_addr;
	struct sn_mp_remove_addr remove_addr;
};

struct sn_sack_block {
	uint32_t left, right;
};

/* Fast Open cookie, RFC 7413 4.1.1: 4 to 16 bytes, an even number; none at all asks for one. */
#define SN_TFO_COOKIE_MAX 16u
struct sn_tfo_cookie {
	uint8_t len; /* bytes */
	uint8_t b[SN_TFO_COOKIE_MAX];
};

/* One received segment after parsing. */
struct sn_tcp_seg {
	uint32_t seq, ack;
	uint16_t dport, sport; /* as one swapped word has them */
	uint16_t wnd;          /* unscaled */
	uint16_t urg;
	uint32_t len;    /* payload bytes */
	uint8_t flags;   /* enum sn_tcp_flag */
	uint8_t hdr_len; /* bytes, options included */
	uint16_t mss;
	uint8_t opts; /* enum sn_opt_bit */
	uint8_t wscale;
	uint8_t nsack;
	uint32_t ts_val, ts_ecr;
	struct sn_sack_block sack[4];
	struct sn_tfo_cookie tfo; /* with SN_OPT_FASTOPEN */
	const uint8_t *early;     /* the payload of such a SYN, NULL: not at hand; the demultiplexer's word */
	struct sn_mp_opts mp;
};

/* Parses header and options of `len` bytes at p (TCP header to the end of the IP payload). Returns SN_OK or SN_E_PROTO
 * (short, bad offset, an option running over the end). Malformed MPTCP options are skipped and counted in mp.bad. */
static inline enum sn_err sn_tcp_parse(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len);
/* The options from p to end, into seg->opts and what belongs to it. */
enum sn_err sn_tcp_parse_options(struct sn_tcp_seg *seg, const uint8_t *p, const uint8_t *end);

/* Writes the 20-byte header at p with a zero checksum; opt_len is the padded option length that follows. */
void sn_tcp_emit(uint8_t *p, const struct sn_tcp_seg *seg, uint32_t opt_len);
static inline void sn_tcp_put_header(uint8_t *p, uint16_t sport, uint16_t dport, uint32_t seq, uint32_t ack,
				     uint32_t opt_len, uint8_t flags, uint16_t wnd)
{
	sn_put32(p, (uint32_t)sport << 16 | dport);
	sn_put32(p + 4, seq);
	sn_put32(p + 8, ack);
	sn_put32(p + 12, (SN_TCP_HDR_MIN + opt_len) << 26 | (uint32_t)flags << 16 | wnd);
	sn_put32(p + 16, 0); /* checksum, urgent pointer */
}
void sn_tcp_set_csum(uint8_t *p, uint16_t csum);
/* Is the header at p, hdr_len bytes in all, that of `like` but for its number, which is `seq`, its checksum and PSH? Its
 * flags, or 0. */
static inline uint8_t sn_tcp_same_header(const uint8_t *p, const uint8_t *like, uint32_t seq, uint32_t hdr_len)
{
	const uint32_t psh = (uint32_t)SN_TH_PSH << 16;

	if (sn_get32(p + 4) != seq || sn_get32(p + 8) != sn_get32(like + 8) ||
	    (sn_get32(p + 12) & ~psh) != (sn_get32(like + 12) & ~psh) ||
	    memcmp(p + SN_TCP_HDR_MIN, like + SN_TCP_HDR_MIN, hdr_len - SN_TCP_HDR_MIN) != 0)
		return 0;
	return p[13];
}

/* Option writers: write at p, return the bytes written, always a multiple of 4 (padded with NOP). */
uint32_t sn_opt_emit_mss(uint8_t *p, uint16_t mss);
uint32_t sn_opt_emit_wscale(uint8_t *p, uint8_t shift);
uint32_t sn_opt_emit_sack_ok(uint8_t *p);
static inline uint32_t sn_opt_emit_ts(uint8_t *p, uint32_t val, uint32_t ecr);
uint32_t sn_opt_emit_fastopen(uint8_t *p, const struct sn_tfo_cookie *cookie);
static inline uint32_t sn_opt_fastopen_len(const struct sn_tfo_cookie *cookie) { return (2u + cookie->len + 3u) & ~3u; }
uint32_t sn_opt_emit_sack(uint8_t *p, const struct sn_sack_block *blocks, uint32_t n);

/* MPTCP option writers. The length each will take is known beforehand through sn_mp_*_len(). */
uint32_t sn_mp_emit_capable(uint8_t *p, const struct sn_mp_capable *c);
uint32_t sn_mp_emit_join(uint8_t *p, const struct sn_mp_join *j);
uint32_t sn_mp_dss_len(uint8_t flags);
uint32_t sn_mp_emit_dss(uint8_t *p, const struct sn_mp_dss *d);
uint32_t sn_mp_add_addr_len(const struct sn_mp_add_addr *a);
uint32_t sn_mp_emit_add_addr(uint8_t *p, const struct sn_mp_add_addr *a);
uint32_t sn_mp_emit_remove_addr(uint8_t *p, const struct sn_mp_remove_addr *r);
uint32_t sn_mp_emit_prio(uint8_t *p, bool backup);
uint32_t sn_mp_emit_fail(uint8_t *p, uint64_t dsn);
uint32_t sn_mp_emit_fastclose(uint8_t *p, uint64_t receiver_key);
uint32_t sn_mp_emit_tcprst(uint8_t *p, uint8_t flags, uint8_t reason);

/* NOP NOP TS 10: how nearly every segment's options begin (RFC 7323 appendix A). */
#define SN_TCP_TS_PREFIX 0x0101080au

static inline uint32_t sn_opt_emit_ts(uint8_t *p, uint32_t val, uint32_t ecr)
{
	sn_put32(p, SN_TCP_TS_PREFIX);
	sn_put32(p + 4, val);
	sn_put32(p + 8, ecr);
	return 12;
}

static inline enum sn_err sn_tcp_parse(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	if (SN_UNLIKELY(len < SN_TCP_HDR_MIN))
		return SN_E_PROTO;
	uint32_t hdr_len = (uint32_t)(p[12] >> 4) * 4;
	if (SN_UNLIKELY(hdr_len < SN_TCP_HDR_MIN || hdr_len > len))
		return SN_E_PROTO;
	uint32_t ports = sn_get32(p);
	seg->dport = (uint16_t)ports;
	seg->sport = (uint16_t)(ports >> 16);
	seg->seq = sn_get32(p + 4);
	seg->ack = sn_get32(p + 8);
	seg->flags = p[13];
	seg->hdr_len = (uint8_t)hdr_len;
	seg->wnd = sn_get16(p + 14);
	seg->urg = sn_get16(p + 18);
	seg->len = len - hdr_len;
	seg->opts = 0;
	seg->wscale = 0;
	seg->mss = 0;
	seg->nsack = 0;
	/* The rest of mp is meaningful only where `present` says so: clearing it would cost more than parsing. */
	seg->mp.present = 0;
	seg->mp.bad = 0;
	seg->ts_val = seg->ts_ecr = 0;
	p += SN_TCP_HDR_MIN;
	if (SN_LIKELY(hdr_len >= SN_TCP_HDR_MIN + 12 && sn_get32(p) == SN_TCP_TS_PREFIX)) {
		seg->ts_val = sn_get32(p + 4);
		seg->ts_ecr = sn_get32(p + 8);
		seg->opts = SN_OPT_TS;
		if (SN_LIKELY(hdr_len == SN_TCP_HDR_MIN + 12))
			return SN_OK;
		p += 12;
		hdr_len -= 12;
	}
	return sn_tcp_parse_options(seg, p, p + hdr_len - SN_TCP_HDR_MIN);
}

#endif

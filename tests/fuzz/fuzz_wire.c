/* SPDX-License-Identifier: Apache-2.0
 *
 * Codecs. The first byte chooses one, the rest is its input. What is accepted is written again and read back: both
 * readings must agree.
 */
#include <stdlib.h>

#include "wire/arp.h"
#include "wire/eth.h"
#include "wire/icmp.h"
#include "wire/icmp6.h"
#include "wire/icmp_error.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"
#include "wire/view.h"

/* A broken promise of ours: the fuzzer reports the input. */
#define MUST(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

static void fuzz_tcp(const uint8_t *p, uint32_t len)
{
	struct sn_wire_view a, b;
	uint8_t again[60];

	if (sn_wire_parse_tcp(p, len, &a) != SN_OK)
		return;
	MUST(a.hdr_len >= 20 && a.hdr_len <= 60 && a.hdr_len + a.len == len);
	MUST(a.nsack <= 4 && a.wscale <= 14 && a.remove_n <= SN_MAX_SUBFLOWS);
	int32_t n = sn_wire_emit_tcp(&a, again);
	/* Padding may need more room than a sender who packed tightly; nothing else may fail. */
	MUST(n > 0 || n == SN_E_MSGSIZE);
	if (n < 0)
		return;
	MUST(sn_wire_parse_tcp(again, (uint32_t)n, &b) == SN_OK);
	MUST(b.hdr_len == n && b.mp_bad == 0);
	b.hdr_len = a.hdr_len;
	b.len = a.len;
	b.mp_bad = a.mp_bad;
	MUST(memcmp(&a, &b, sizeof a) == 0);
}

static void fuzz_ipv4(const uint8_t *p, uint32_t len)
{
	struct sn_ipv4 a, b;
	uint8_t again[SN_IPV4_HDR];

	if (!sn_ipv4_parse(&a, p, len, false))
		return;
	MUST(a.hdr_len >= SN_IPV4_HDR && a.hdr_len <= a.total_len && a.total_len <= len);
	sn_ipv4_emit(again, &a, true);
	uint16_t total = a.total_len;
	sn_put16(again + 2, SN_IPV4_HDR); /* the copy is a header alone */
	MUST(sn_ipv4_parse(&b, again, sizeof again, false));
	MUST(a.src == b.src && a.dst == b.dst && a.id == b.id && a.frag == b.frag && a.ttl == b.ttl &&
	     a.proto == b.proto && a.tos == b.tos);
	sn_put16(again + 2, total);
	MUST(sn_csum_fold(sn_csum_partial(again, sizeof again, 0)) == 0xffff);
	if (a.proto == SN_IP_TCP)
		fuzz_tcp(p + a.hdr_len, a.total_len - a.hdr_len);
}

static void fuzz_arp(const uint8_t *p, uint32_t len)
{
	struct sn_arp a;
	uint8_t again[SN_ARP_LEN];

	if (!sn_arp_parse(&a, p, len))
		return;
	sn_arp_emit(again, &a);
	MUST(memcmp(again, p, SN_ARP_LEN) == 0);
}

static void fuzz_icmp(const uint8_t *p, uint32_t len)
{
	struct sn_icmp a;

	if (sn_icmp_parse(&a, p, len))
		MUST(len >= SN_ICMP_HDR);
}

/* The checksum is not asked for: both readers get the message as it is. */
static void fuzz_icmp_error(const uint8_t *p, uint32_t len)
{
	struct sn_icmp_error a = {0}, b = {0};
	enum sn_icmp_verdict v4 = sn_icmp_error_parse(&a, p, len), v6 = sn_icmp6_error_parse(&b, p, len);

	MUST(v4 != SN_ICMP_OK || (len >= 36 && a.why <= SN_ICMP_PARAMETER && a.mtu <= UINT16_MAX));
	MUST(v4 != SN_ICMP_OK || (sn_addr_is_v4(&a.src) && sn_addr_is_v4(&a.dst)));
	MUST(v6 != SN_ICMP_OK || (len >= 56 && b.why <= SN_ICMP_PARAMETER));
	MUST((v4 != SN_ICMP_OK || !a.mtu || a.why == SN_ICMP_TOO_BIG) &&
	     (v6 != SN_ICMP_OK || !b.mtu || b.why == SN_ICMP_TOO_BIG));
}

static void fuzz_ipv6(const uint8_t *p, uint32_t len)
{
	struct sn_ip a, b;
	struct sn_wire_ip6_view v, w;
	uint8_t again[SN_IPV6_HDR + SN_ICMP6_HDR + 4096];

	if (sn_ipv6_parse(&a, p, len) != SN_IPV6_OK)
		return;
	MUST(a.hdr_len >= SN_IPV6_HDR && a.hdr_len % 8 == 0 && a.hdr_len <= a.total_len && a.total_len <= len);
	uint32_t upper = a.total_len - (uint32_t)a.hdr_len;
	sn_ipv6_emit(again, &a);
	sn_put16(again + 4, 0); /* the copy is a header alone */
	bool whole = sn_ipv6_parse(&b, again, SN_IPV6_HDR) == SN_IPV6_OK;
	MUST(whole && sn_addr_eq(&a.src, &b.src) && sn_addr_eq(&a.dst, &b.dst));
	MUST(a.proto == b.proto && a.tos == b.tos && a.ttl == b.ttl);
	if (a.proto == SN_IP_TCP)
		fuzz_tcp(p + a.hdr_len, upper);
	MUST(sn_wire_parse_ip6(p, len, &v) == SN_OK);
	if (!v.is_nd && v.type != SN_ICMP6_ECHO && v.type != SN_ICMP6_ECHO_REPLY)
		return;
	MUST(!v.is_nd || (v.ttl == 255 && v.code == 0));
	int32_t n = sn_wire_emit_ip6(&v, p + a.hdr_len + SN_ICMP6_HDR, upper - SN_ICMP6_HDR, again, sizeof again);
	MUST(n > 0 && sn_wire_parse_ip6(again, (uint32_t)n, &w) == SN_OK);
	w.hdr_len = v.hdr_len;
	w.total_len = v.total_len;
	MUST(memcmp(&v, &w, sizeof v) == 0);
}

/* Checksums are right here, so that what stands behind them is met. */
static void fuzz_nd(const uint8_t *p, uint32_t len)
{
	uint8_t *q;
	struct sn_ip ip;

	if (sn_ipv6_parse(&ip, p, len) != SN_IPV6_OK || ip.total_len - ip.hdr_len < (int)SN_ICMP6_HDR)
		return;
	q = malloc(ip.total_len);
	memcpy(q, p, ip.total_len);
	uint32_t upper = ip.total_len - (uint32_t)ip.hdr_len;
	sn_put16(q + ip.hdr_len + 2, 0);
	uint32_t sum = sn_csum_pseudo_v6(&ip.src, &ip.dst, SN_IP_ICMP6, upper);
	sn_put16(q + ip.hdr_len + 2, sn_csum_finish(sn_csum_partial(q + ip.hdr_len, upper, sum)));
	fuzz_ipv6(q, ip.total_len);
	free(q);
}

static void fuzz_eth(const uint8_t *p, uint32_t len)
{
	struct sn_eth a;
	uint8_t again[SN_ETH_HDR];

	if (!sn_eth_parse(&a, p, len))
		return;
	sn_eth_emit(again, a.dst, a.src, a.type);
	MUST(memcmp(again, p, SN_ETH_HDR) == 0);
	if (a.type == SN_ETH_ARP)
		fuzz_arp(p + SN_ETH_HDR, len - SN_ETH_HDR);
	else if (a.type == SN_ETH_IPV4)
		fuzz_ipv4(p + SN_ETH_HDR, len - SN_ETH_HDR);
	else if (a.type == SN_ETH_IPV6)
		fuzz_ipv6(p + SN_ETH_HDR, len - SN_ETH_HDR);
}

static void fuzz_sum(const uint8_t *p, uint32_t len)
{
	uint32_t cut = len ? p[0] % len : 0;
	uint32_t joined = sn_csum_join(sn_csum_partial(p, cut, 0), sn_csum_partial(p + cut, len - cut, 0), cut);

	MUST(sn_csum_fold(joined) == sn_csum_fold(sn_csum_partial(p, len, 0)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const codec[])(const uint8_t *, uint32_t) = {fuzz_tcp, fuzz_eth,  fuzz_ipv4, fuzz_icmp,
								   fuzz_sum, fuzz_ipv6, fuzz_nd,   fuzz_icmp_error};

	if (size < 1 || size > 4096)
		return 0;
	/* An exact copy on the heap: a read one byte too far is seen by AddressSanitizer. */
	uint8_t *p = malloc(size - 1);
	if (size > 1)
		memcpy(p, data + 1, size - 1);
	codec[data[0] % (sizeof codec / sizeof codec[0])](p, (uint32_t)size - 1);
	free(p);
	return 0;
}

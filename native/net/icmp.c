/* SPDX-License-Identifier: Apache-2.0
 *
 * ICMP and ICMPv6: echo requests are answered (RFC 1122 3.2.2.6, RFC 4443 4.2), neighbour discovery goes to ndp.c, errors to
 * icmp_error.c, everything else is ignored.
 */
#include "wire/icmp.h"

#include "engine/engine.h"
#include "wire/icmp6.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

_Static_assert(SN_ICMP_HDR == SN_ICMP6_HDR, "one echo");

/* Answers an echo request whose data is given; the reply's headers are written by the caller, `ip_hdr` bytes of them IP's.
 * NULL: not answered. What came in fragments may be too long for one frame, and we send none. */
static struct sn_buf *reply_buf(struct sn_engine *e, uint16_t port, uint32_t ip_hdr, const uint8_t *data, uint32_t len,
				sn_time now)
{
	if (ip_hdr + SN_ICMP_HDR + len > sn_net_port_mtu(e, port)) {
		e->counters.icmp_too_big++;
		return NULL;
	}
	if (!sn_net_limit_take(&e->net.echo_limit, SN_ECHO_RATE, now)) {
		e->counters.icmp_limited++;
		return NULL;
	}
	struct sn_buf *b = sn_buf_alloc(e->cfg.pool);
	if (!b) {
		e->counters.tx_nobuf++;
		return NULL;
	}
	if (SN_HEADROOM + SN_ICMP_HDR + len > b->room) {
		sn_buf_free(b);
		e->counters.icmp_too_big++;
		return NULL;
	}
	b->data = b->base + SN_HEADROOM;
	b->len = SN_ICMP_HDR + len;
	memcpy(b->data + SN_ICMP_HDR, data, len);
	return b;
}

static void answer(struct sn_engine *e, uint16_t port, const struct sn_ip *ip, const struct sn_icmp *m,
		   const uint8_t *data, uint32_t len, sn_time now)
{
	struct sn_icmp reply = {.type = SN_ICMP_ECHO_REPLY, .code = 0, .id = m->id, .seq = m->seq};
	struct sn_tx tx = {
		.port = port, .flags = SN_TX_CSUM_DONE, .hdr = reply_buf(e, port, SN_IPV4_HDR, data, len, now)};

	if (!tx.hdr)
		return;
	sn_icmp_emit(tx.hdr->data, &reply, len);
	e->counters.icmp_echo++;
	sn_ip_send(e, port, &ip->dst, &ip->src, SN_IP_ICMP, &tx, now);
}

void sn_icmp_rx(struct sn_engine *e, struct sn_buf *b, const struct sn_ip *ip, const uint8_t *p, uint32_t len,
		sn_time now)
{
	struct sn_icmp m;

	if (!sn_icmp_parse(&m, p, len)) {
		e->counters.rx_drop_icmp++;
	} else if (m.type != SN_ICMP_ECHO) {
		sn_icmp_error_rx(e, b, ip, p, len, now);
		return;
	} else if (m.code == 0) {
		answer(e, b->port, ip, &m, p + SN_ICMP_HDR, len - SN_ICMP_HDR, now);
	}
	sn_buf_free(b);
}

static void answer6(struct sn_engine *e, uint16_t port, const struct sn_ip *ip, const struct sn_icmp6 *m,
		    const uint8_t *data, uint32_t len, sn_time now)
{
	struct sn_icmp6 reply = {.type = SN_ICMP6_ECHO_REPLY, .code = 0, .id = m->id, .seq = m->seq};
	struct sn_tx tx = {
		.port = port, .flags = SN_TX_CSUM_DONE, .hdr = reply_buf(e, port, SN_IPV6_HDR, data, len, now)};

	if (!tx.hdr)
		return;
	sn_icmp6_emit(tx.hdr->data, &reply, &ip->dst, &ip->src, len);
	e->counters.icmp6_echo++;
	sn_ip_send(e, port, &ip->dst, &ip->src, SN_IP_ICMP6, &tx, now);
}

void sn_icmp6_rx(struct sn_engine *e, struct sn_buf *b, const struct sn_ip *ip, bool to_group, const uint8_t *p,
		 uint32_t len, sn_time now)
{
	struct sn_icmp6 m;

	if (!sn_icmp6_parse(&m, ip, p, len)) {
		e->counters.rx_drop_icmp++;
	} else if (m.type == SN_ICMP6_SOLICIT || m.type == SN_ICMP6_ADVERTISE) {
		sn_nd_rx(e, b, ip, p, len, now);
		return;
	} else if (m.type != SN_ICMP6_ECHO) {
		sn_icmp_error_rx(e, b, ip, p, len, now);
		return;
	} else if (m.code == 0 && !to_group && !sn_addr_is_any6(&ip->src)) {
		answer6(e, b->port, ip, &m, p + SN_ICMP6_HDR, len - SN_ICMP6_HDR, now);
	}
	sn_buf_free(b);
}

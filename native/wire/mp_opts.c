/* SPDX-License-Identifier: Apache-2.0
 *
 * MPTCP options, TCP option kind 30 (RFC 8684 3): one row per subtype in sn_mp_rules, one writer per option.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +---------------+---------------+-------+-----------------------+
 *   |   Kind = 30   |    Length     |Subtype|   (subtype specific)  |
 *   +---------------+---------------+-------+-----------------------+
 */
#include "wire/options.h"

/* Writes kind, length and the third byte; returns where the rest goes. */
static uint8_t *head(uint8_t *p, uint32_t len, enum sn_mp_subtype subtype, uint32_t low_bits)
{
	p[0] = SN_KIND_MPTCP;
	p[1] = (uint8_t)len;
	p[2] = (uint8_t)((uint32_t)subtype << 4 | low_bits);
	return p + 3;
}

/* Fills up to a multiple of 4 with NOP; returns the padded length. */
static uint32_t pad(uint8_t *p, uint32_t len)
{
	while (len & 3)
		p[len++] = SN_KIND_NOP;
	return len;
}

/* MP_CAPABLE (RFC 8684 3.1)
 *   +---------------+---------------+-------+-------+---------------+
 *   |   Kind = 30   |    Length     |   0   |Version|A|B|C|D|E|F|G|H|
 *   +---------------+---------------+-------+-------+---------------+
 *   |   Sender's Key (64 bits), from length 12 on                   |
 *   |   Receiver's Key (64 bits), from length 20 on                 |
 *   +-------------------------------+-------------------------------+
 *   | Data-Level Length, from 22 on |     Checksum, only in 24      |
 *   +-------------------------------+-------------------------------+ */
static bool take_capable(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	struct sn_mp_capable *c = &seg->mp.capable;

	c->len = (uint8_t)len;
	c->version = p[2] & 0x0f;
	c->flags = p[3];
	c->sender_key = len >= 12 ? sn_get64(p + 4) : 0;
	c->receiver_key = len >= 20 ? sn_get64(p + 12) : 0;
	c->data_len = len >= 22 ? sn_get16(p + 20) : 0;
	c->csum = len >= 24 ? sn_get16(p + 22) : 0;
	return true;
}

uint32_t sn_mp_emit_capable(uint8_t *p, const struct sn_mp_capable *c)
{
	head(p, c->len, SN_MP_CAPABLE, c->version);
	p[3] = c->flags;
	if (c->len >= 12)
		sn_put64(p + 4, c->sender_key);
	if (c->len >= 20)
		sn_put64(p + 12, c->receiver_key);
	if (c->len >= 22)
		sn_put16(p + 20, c->data_len);
	if (c->len >= 24)
		sn_put16(p + 22, c->csum);
	return pad(p, c->len);
}

/* MP_JOIN (RFC 8684 3.2). R: the rest of the third byte is reserved.
 *   SYN 12     | 30 | 12 | 1 |   |B| Address ID | Receiver's Token (32) | Sender's Nonce (32) |
 *   SYN/ACK 16 | 30 | 16 | 1 |   |B| Address ID | Truncated HMAC (64)   | Sender's Nonce (32) |
 *   ACK 24     | 30 | 24 | 1 |     reserved     | HMAC (160)                                  | */
static bool take_join(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	struct sn_mp_join *j = &seg->mp.join;

	j->len = (uint8_t)len;
	j->backup = p[2] & 1;
	j->addr_id = p[3];
	j->token = len == 12 ? sn_get32(p + 4) : 0;
	j->hmac64 = len == 16 ? sn_get64(p + 4) : 0;
	j->nonce = len == 12 ? sn_get32(p + 8) : len == 16 ? sn_get32(p + 12) : 0;
	if (len == 24) {
		j->backup = j->addr_id = 0;
		memcpy(j->hmac, p + 4, sizeof j->hmac);
	}
	return true;
}

uint32_t sn_mp_emit_join(uint8_t *p, const struct sn_mp_join *j)
{
	bool ack = j->len == 24;
	head(p, j->len, SN_MP_JOIN, !ack && j->backup ? 1 : 0);
	p[3] = ack ? 0 : j->addr_id;
	if (j->len == 12) {
		sn_put32(p + 4, j->token);
		sn_put32(p + 8, j->nonce);
	} else if (j->len == 16) {
		sn_put64(p + 4, j->hmac64);
		sn_put32(p + 12, j->nonce);
	} else {
		memcpy(p + 4, j->hmac, sizeof j->hmac);
	}
	return j->len;
}

/* DSS (RFC 8684 3.3): flags F DATA_FIN, m 64-bit DSN, M mapping present, a 64-bit DATA_ACK, A DATA_ACK present.
 *   +---------------+---------------+-------+---------------+-+-+-+-+-+
 *   |   Kind = 30   |    Length     |   2   |   (reserved)  |F|m|M|a|A|
 *   +---------------+---------------+-------+---------------+-+-+-+-+-+
 *   |   Data ACK (32 or 64 bits), if A                              |
 *   |   Data Sequence Number (32 or 64 bits), if M                  |
 *   |   Subflow Sequence Number (32 bits), if M                     |
 *   +-------------------------------+-------------------------------+
 *   |   Data-Level Length, if M     |   Checksum, told by Length    |
 *   +-------------------------------+-------------------------------+ */
static uint32_t dss_wire_len(uint8_t flags)
{
	uint32_t len = 4;
	if (flags & SN_DSS_ACK)
		len += flags & SN_DSS_ACK64 ? 8 : 4;
	if (flags & SN_DSS_MAP)
		len += (flags & SN_DSS_DSN64 ? 8 : 4) + 6 + (flags & SN_DSS_HAS_CSUM ? 2 : 0);
	return len;
}

uint32_t sn_mp_dss_len(uint8_t flags) { return (dss_wire_len(flags) + 3) & ~3u; }

static bool take_dss(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	struct sn_mp_dss *d = &seg->mp.dss;
	uint8_t flags = p[3] & (SN_DSS_ACK | SN_DSS_ACK64 | SN_DSS_MAP | SN_DSS_DSN64 | SN_DSS_FIN);

	/* Width bits and F say something only about a field that is there. */
	if (!(flags & SN_DSS_ACK))
		flags &= (uint8_t)~SN_DSS_ACK64;
	if (!(flags & SN_DSS_MAP))
		flags &= (uint8_t) ~(SN_DSS_DSN64 | SN_DSS_FIN);
	else if (len == dss_wire_len(flags) + 2)
		flags |= SN_DSS_HAS_CSUM;
	if (len != dss_wire_len(flags))
		return false;
	p += 4;
	d->flags = flags;
	d->ack = d->dsn = 0;
	d->ssn = 0;
	d->len = d->csum = 0;
	if (flags & SN_DSS_ACK) {
		d->ack = flags & SN_DSS_ACK64 ? sn_get64(p) : sn_get32(p);
		p += flags & SN_DSS_ACK64 ? 8 : 4;
	}
	if (flags & SN_DSS_MAP) {
		d->dsn = flags & SN_DSS_DSN64 ? sn_get64(p) : sn_get32(p);
		p += flags & SN_DSS_DSN64 ? 8 : 4;
		d->ssn = sn_get32(p);
		d->len = sn_get16(p + 4);
		if (flags & SN_DSS_HAS_CSUM)
			d->csum = sn_get16(p + 6);
	}
	return true;
}

uint32_t sn_mp_emit_dss(uint8_t *p, const struct sn_mp_dss *d)
{
	uint32_t len = dss_wire_len(d->flags);
	uint8_t *q = head(p, len, SN_MP_DSS, 0);

	*q++ = d->flags & (SN_DSS_ACK | SN_DSS_ACK64 | SN_DSS_MAP | SN_DSS_DSN64 | SN_DSS_FIN);
	if (d->flags & SN_DSS_ACK) {
		if (d->flags & SN_DSS_ACK64)
			sn_put64(q, d->ack);
		else
			sn_put32(q, (uint32_t)d->ack);
		q += d->flags & SN_DSS_ACK64 ? 8 : 4;
	}
	if (d->flags & SN_DSS_MAP) {
		if (d->flags & SN_DSS_DSN64)
			sn_put64(q, d->dsn);
		else
			sn_put32(q, (uint32_t)d->dsn);
		q += d->flags & SN_DSS_DSN64 ? 8 : 4;
		sn_put32(q, d->ssn);
		sn_put16(q + 4, d->len);
		if (d->flags & SN_DSS_HAS_CSUM)
			sn_put16(q + 6, d->csum);
	}
	return pad(p, len);
}

/* ADD_ADDR (RFC 8684 3.4.1). With E (echo) there is no HMAC; the family and the port are told by the length.
 *   | 30 | Length | 3 |     |E| Address ID | Address (4 or 16) | [Port (2)] | [Truncated HMAC (8)] | */
static uint32_t add_addr_wire_len(const struct sn_mp_add_addr *a)
{
	return 4u + (a->family == 6 ? 16 : 4) + (a->has_port ? 2 : 0) + (a->echo ? 0 : 8);
}

uint32_t sn_mp_add_addr_len(const struct sn_mp_add_addr *a) { return (add_addr_wire_len(a) + 3) & ~3u; }

static bool take_add_addr(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	struct sn_mp_add_addr *a = &seg->mp.add_addr;

	a->echo = p[2] & 1;
	a->id = p[3];
	uint32_t rest = len - 4;
	if (!a->echo) {
		if (rest < 8 + 4)
			return false;
		rest -= 8;
	}
	a->has_port = (rest & 2) != 0;
	rest -= a->has_port ? 2 : 0;
	if (rest != 4 && rest != 16)
		return false;
	a->family = rest == 4 ? 4 : 6;
	p += 4;
	if (a->family == 4)
		a->addr = sn_addr_v4(sn_get32(p));
	else
		memcpy(a->addr.b, p, 16);
	p += rest;
	a->port = a->has_port ? sn_get16(p) : 0;
	p += a->has_port ? 2 : 0;
	a->hmac = a->echo ? 0 : sn_get64(p);
	return true;
}

uint32_t sn_mp_emit_add_addr(uint8_t *p, const struct sn_mp_add_addr *a)
{
	uint32_t len = add_addr_wire_len(a);
	uint8_t *q = head(p, len, SN_MP_ADD_ADDR, a->echo ? 1 : 0);

	*q++ = a->id;
	if (a->family == 6) {
		memcpy(q, a->addr.b, 16);
		q += 16;
	} else {
		sn_put32(q, sn_addr_v4_get(&a->addr));
		q += 4;
	}
	if (a->has_port) {
		sn_put16(q, a->port);
		q += 2;
	}
	if (!a->echo)
		sn_put64(q, a->hmac);
	return pad(p, len);
}

/* REMOVE_ADDR (RFC 8684 3.4.2): | 30 | 3 + n | 4 | reserved | n Address IDs | */
static bool take_remove_addr(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	struct sn_mp_remove_addr *r = &seg->mp.remove_addr;

	r->n = (uint8_t)(len - 3);
	memcpy(r->id, p + 3, r->n);
	return true;
}

uint32_t sn_mp_emit_remove_addr(uint8_t *p, const struct sn_mp_remove_addr *r)
{
	uint32_t n = SN_MIN(r->n, SN_MAX_SUBFLOWS);
	memcpy(head(p, 3 + n, SN_MP_REMOVE_ADDR, 0), r->id, n);
	return pad(p, 3 + n);
}

/* MP_PRIO (RFC 8684 3.3.8): | 30 | 3 | 5 |     |B|. Version 0 had an address id behind it (length 4): not read. */
static bool take_prio(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	(void)len;
	seg->mp.prio_backup = p[2] & 1;
	return true;
}

uint32_t sn_mp_emit_prio(uint8_t *p, bool backup)
{
	head(p, 3, SN_MP_PRIO, backup);
	return pad(p, 3);
}

/* MP_FAIL (RFC 8684 3.7): | 30 | 12 | 6 | reserved (12) | Data Sequence Number (64) | */
static bool take_fail(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	(void)len;
	seg->mp.fail_dsn = sn_get64(p + 4);
	return true;
}

uint32_t sn_mp_emit_fail(uint8_t *p, uint64_t dsn)
{
	*head(p, 12, SN_MP_FAIL, 0) = 0;
	sn_put64(p + 4, dsn);
	return 12;
}

/* MP_FASTCLOSE (RFC 8684 3.5): | 30 | 12 | 7 | reserved (12) | Receiver's Key (64) | */
static bool take_fastclose(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	(void)len;
	seg->mp.fastclose_key = sn_get64(p + 4);
	return true;
}

uint32_t sn_mp_emit_fastclose(uint8_t *p, uint64_t receiver_key)
{
	*head(p, 12, SN_MP_FASTCLOSE, 0) = 0;
	sn_put64(p + 4, receiver_key);
	return 12;
}

/* MP_TCPRST (RFC 8684 3.6): | 30 | 4 | 8 |U|V|W|T| Reason | */
static bool take_tcprst(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len)
{
	(void)len;
	seg->mp.rst_flags = p[2] & 0x0f;
	seg->mp.rst_reason = p[3];
	return true;
}

uint32_t sn_mp_emit_tcprst(uint8_t *p, uint8_t flags, uint8_t reason)
{
	*head(p, 4, SN_MP_TCPRST, flags & 0x0fu) = reason;
	return 4;
}

/* Lengths 4 to 3 + SN_MAX_SUBFLOWS. */
#define REMOVE_ADDR_LENGTHS ((SN_LEN(4 + SN_MAX_SUBFLOWS) - 1) & ~(SN_LEN(4) - 1))
/* What the flags can ask for: A 0, 4, 8; M 0, 10, 14; checksum 2. take_dss() checks it against the flags. */
#define DSS_LENGTHS                                                                                            \
	(SN_LEN(4) | SN_LEN(8) | SN_LEN(12) | SN_LEN(14) | SN_LEN(16) | SN_LEN(18) | SN_LEN(20) | SN_LEN(22) | \
	 SN_LEN(24) | SN_LEN(26) | SN_LEN(28))
#define ADD_ADDR_LENGTHS \
	(SN_LEN(8) | SN_LEN(10) | SN_LEN(16) | SN_LEN(18) | SN_LEN(20) | SN_LEN(22) | SN_LEN(28) | SN_LEN(30))

const struct sn_opt_rule sn_mp_rules[16] = {
	[SN_MP_CAPABLE] = {SN_LEN(4) | SN_LEN(12) | SN_LEN(20) | SN_LEN(22) | SN_LEN(24), take_capable},
	[SN_MP_JOIN] = {SN_LEN(12) | SN_LEN(16) | SN_LEN(24), take_join},
	[SN_MP_DSS] = {DSS_LENGTHS, take_dss},
	[SN_MP_ADD_ADDR] = {ADD_ADDR_LENGTHS, take_add_addr},
	[SN_MP_REMOVE_ADDR] = {REMOVE_ADDR_LENGTHS, take_remove_addr},
	[SN_MP_PRIO] = {SN_LEN(3) | SN_LEN(4), take_prio},
	[SN_MP_FAIL] = {SN_LEN(12), take_fail},
	[SN_MP_FASTCLOSE] = {SN_LEN(12), take_fastclose},
	[SN_MP_TCPRST] = {SN_LEN(4), take_tcprst},
};

/* SPDX-License-Identifier: Apache-2.0
 *
 * Data sequence signal (RFC 8684 3.3): the options of our segments, DATA_ACK, DATA_FIN and mappings of the peer's.
 *
 * A mapping comes with any segment that it covers and may be repeated on each of them. It is noted in the segment's buffer
 * (SN_BUF_MAP) and applied when the bytes are in order at subflow level; one mapping is in use per subflow at a time.
 */
#include "mptcp/conn.h"

#include "wire/checksum.h"

/* --- DSS checksum: pseudo header and data, RFC 8684 3.3.1 --- */

static uint32_t pseudo_sum(uint64_t dsn, uint32_t ssn, uint32_t len)
{
	uint32_t sum = (uint32_t)(dsn >> 48) + (uint32_t)(dsn >> 32 & 0xffff) + (uint32_t)(dsn >> 16 & 0xffff) +
		       (uint32_t)(dsn & 0xffff);
	return sum + (ssn >> 16) + (ssn & 0xffff) + len;
}

/* --- options of our segments --- */

static uint32_t emit_dss(struct sn_subflow *sf, const struct sn_opt_want *want, uint8_t *out, uint32_t room)
{
	const struct sn_conn *c = sf->conn;
	const uint8_t ack = SN_DSS_ACK | (c->wide_ack ? SN_DSS_ACK64 : 0);
	struct sn_mp_dss d = {.flags = ack, .ack = c->rcv_nxt};
	bool fin_only = want->kind == SN_SEG_ACK && c->fin_sent && !c->fin_acked && c->snd_nxt == c->snd_end;

	if (want->kind == SN_SEG_DATA) {
		/* Not on a unit: it may have left before there was an end, and must be sent again as it was. */
		bool fin = c->shut && c->fully && !want->unit && want->dsn + want->len == c->snd_end;
		d.flags |= SN_DSS_MAP | SN_DSS_DSN64 | (fin ? SN_DSS_FIN : 0);
		d.dsn = want->dsn;
		d.ssn = want->ssn;
		d.len = (uint16_t)(want->len + (fin ? 1 : 0));
	} else if (fin_only) {
		d.flags |= SN_DSS_MAP | SN_DSS_DSN64 | SN_DSS_FIN;
		d.dsn = c->snd_end;
		d.len = 1;
	}
	if ((d.flags & SN_DSS_MAP) && c->csum) {
		d.flags |= SN_DSS_HAS_CSUM;
		d.csum = sn_csum_finish(pseudo_sum(d.dsn, d.ssn, d.len) + (d.ssn ? want->payload_sum : 0));
	}
	if (SN_UNLIKELY(sn_mp_dss_len(d.flags) > room)) {
		if (fin_only)
			d.flags = ack;
		else /* sent again, cut before DATA_ACK was wide: the wide one is on other segments */
			d.flags &= (uint8_t)~SN_DSS_ACK64;
	}
	if (sn_mp_dss_len(d.flags) > room)
		return 0;
	if (d.flags & SN_DSS_ACK)
		sf->told_nxt = c->rcv_nxt;
	return sn_mp_emit_dss(out, &d);
}

static uint32_t emit_capable(const struct sn_subflow *sf, uint8_t len, const struct sn_opt_want *want, uint8_t *out)
{
	const struct sn_conn *c = sf->conn;
	struct sn_mp_capable cap = {
		.len = len,
		.version = 1,
		.flags = (uint8_t)(SN_MPC_HMAC_SHA256 | (c->csum ? SN_MPC_CSUM : 0) |
				   (c->e->cfg.no_join ? SN_MPC_NO_JOIN : 0)),
		.sender_key = c->local_key,
		.receiver_key = c->remote_key,
		.data_len = (uint16_t)want->len,
	};
	if (len == 24)
		cap.csum = sn_csum_finish(pseudo_sum(want->dsn, want->ssn, want->len) + want->payload_sum);
	return sn_mp_emit_capable(out, &cap);
}

static uint32_t emit_join(const struct sn_subflow *sf, uint8_t len, uint8_t *out)
{
	struct sn_mp_join j = {
		.len = len,
		.backup = sf->our_backup,
		.addr_id = sf->local_id,
		.token = sf->conn->remote_token,
		.nonce = sf->local_nonce,
		.hmac64 = sf->hmac64,
	};
	memcpy(j.hmac, sf->hmac, sizeof j.hmac);
	return sn_mp_emit_join(out, &j);
}

static uint32_t options_rst(const struct sn_subflow *sf, const struct sn_opt_want *want, uint8_t *out)
{
	uint32_t n = 0;
	if ((sf->owe & SN_OWE_FASTCLOSE) && want->room >= 12)
		return sn_mp_emit_fastclose(out, sf->conn->remote_key);
	if ((sf->owe & SN_OWE_FAIL) && want->room >= 16)
		n = sn_mp_emit_fail(out, sf->fail_dsn);
	if (sf->rst_reason != SN_RST_NONE && want->room >= n + 4) {
		/* What lacks now may be there later; the others last (RFC 8684 3.6). */
		bool passes = sf->rst_reason == SN_RST_RESOURCES || sf->rst_reason == SN_RST_OUTSTANDING;
		n += sn_mp_emit_tcprst(out + n, passes ? SN_RST_TRANSIENT : 0, sf->rst_reason);
	}
	return n;
}

/* ACK and data of an established subflow. */
static uint32_t options_established(struct sn_subflow *sf, const struct sn_opt_want *want, uint8_t *out)
{
	const struct sn_conn *c = sf->conn;
	uint32_t n;

	if (sf->kind == SN_SF_JOIN && sf->state == SN_SF_CONFIRM)
		return want->room >= 24 ? emit_join(sf, 24, out) : 0;
	/* Client: MP_CAPABLE until the peer is known to have understood (RFC 8684 3.1). */
	if (sf->kind == SN_SF_CAPABLE && sf->active && !c->fully) {
		if (want->kind == SN_SEG_DATA && want->ssn == 1)
			return want->room >= 24 ? emit_capable(sf, c->csum ? 24 : 22, want, out) : 0;
		if (want->kind == SN_SEG_ACK && !sf->sent_any && !c->fin_word)
			return want->room >= 20 ? emit_capable(sf, 20, want, out) : 0;
	}
	if (want->kind == SN_SEG_ACK && (sf->owe & (SN_OWE_ADD_ADDR | SN_OWE_ECHO))) {
		const struct sn_mp_add_addr *a = sf->owe & SN_OWE_ECHO ? &sf->echo : &c->ann;
		if (sn_mp_add_addr_len(a) <= want->room)
			return sn_mp_emit_add_addr(out, a);
		sf->owe &= (uint8_t) ~(SN_OWE_ADD_ADDR | SN_OWE_ECHO);
	}
	n = emit_dss(sf, want, out, want->room);
	if ((sf->owe & SN_OWE_REMOVE) && n + 4 + c->removed.n <= want->room)
		n += sn_mp_emit_remove_addr(out + n, &c->removed);
	if ((sf->owe & SN_OWE_FAIL) && n + 12 <= want->room)
		n += sn_mp_emit_fail(out + n, sf->fail_dsn);
	if ((sf->owe & SN_OWE_PRIO) && n + 4 <= want->room)
		n += sn_mp_emit_prio(out + n, sf->our_backup);
	return n;
}

/* The last word after MP_FAIL: from the first byte not yet DATA_ACKed on, data is what TCP says it is. One subflow carried
 * everything, so its sequence numbers follow from the data's. */
static uint32_t emit_infinite(struct sn_subflow *sf, const struct sn_opt_want *want, uint8_t *out)
{
	struct sn_conn *c = sf->conn;
	struct sn_mp_dss d = {.flags = SN_DSS_MAP | SN_DSS_DSN64};

	if (want->kind != SN_SEG_DATA || (sf->infinite_ssn && want->ssn != sf->infinite_ssn))
		return 0;
	if (!sf->infinite_ssn && want->retransmit)
		return 0;
	d.dsn = sf->infinite_dsn;
	d.ssn = (uint32_t)(sf->infinite_dsn - c->idsn);
	if (c->csum)
		d.flags |= SN_DSS_HAS_CSUM;
	if (sn_mp_dss_len(d.flags) > want->room)
		return 0;
	if (!sf->infinite_ssn)
		c->e->counters.InfiniteMapTx++;
	sf->infinite_ssn = want->ssn;
	return sn_mp_emit_dss(out, &d);
}

/* An ACK about a hole repeats a DATA_ACK: its room is worth more to SACK blocks (RFC 8684 A). Only where a missing option
 * cannot be taken for one that somebody strips: after a join nobody falls back. */
static bool nothing_new(const struct sn_subflow *sf, const struct sn_opt_want *want)
{
	const struct sn_conn *c = sf->conn;
	return want->kind == SN_SEG_ACK && c->mptcp && c->joined && sf->state == SN_SF_UP && !sf->owe &&
	       sf->told_nxt == c->rcv_nxt && !sn_dsn_lt(c->rcv_adv, c->rcv_edge) && !(c->fin_sent && !c->fin_acked);
}

uint32_t sn_mp_options(struct sn_subflow *sf, const struct sn_opt_want *want, uint8_t *out)
{
	struct sn_conn *c = sf->conn;

	if (SN_UNLIKELY(sf->owe & SN_OWE_INFINITE))
		return emit_infinite(sf, want, out);
	if (sf->kind == SN_SF_PLAIN || (want->kind >= SN_SEG_ACK && !c->keyed))
		return 0;
	switch (want->kind) {
	case SN_SEG_SYN:
		if (want->room < (sf->kind == SN_SF_JOIN ? 12 : 4))
			return 0;
		return sf->kind == SN_SF_JOIN ? emit_join(sf, 12, out) : emit_capable(sf, 4, want, out);
	case SN_SEG_SYNACK:
		if (want->room < (sf->kind == SN_SF_JOIN ? 16 : 12))
			return 0;
		return sf->kind == SN_SF_JOIN ? emit_join(sf, 16, out) : emit_capable(sf, 12, want, out);
	case SN_SEG_RST: return options_rst(sf, want, out);
	default:
		if (SN_UNLIKELY(want->sack) && nothing_new(sf, want))
			return 0;
		/* What goes out now carries this window. */
		if (sn_dsn_lt(c->rcv_adv, c->rcv_edge) && sf->state != SN_SF_CONFIRM)
			c->rcv_adv = c->rcv_edge;
		return options_established(sf, want, out);
	}
}

uint32_t sn_mp_unit(const struct sn_subflow *sf, uint64_t dsn, uint32_t len)
{
	const struct sn_conn *c = sf->conn;

	if (sf->kind == SN_SF_PLAIN && !sf->owe)
		return len;
	/* What is owed is said once. MP_CAPABLE explains the client's first segment until the peer answers. */
	if (sf->owe || sf->state != SN_SF_UP || (sf->active && !c->fully))
		return 0;
	/* The last segment bears the DATA_FIN. */
	return c->shut && dsn + len == c->snd_end ? len - 1 : len;
}

/* --- the peer's DSS --- */

/* The 64-bit number nearest to `near` with these low 32 bits. */
static uint64_t expand(uint64_t near, uint32_t low)
{
	return near + (uint64_t)(int64_t)(int32_t)(low - (uint32_t)near);
}

static void note_map(struct sn_buf *b, uint64_t dsn, uint32_t ssn, uint16_t len)
{
	b->map_dsn = dsn;
	b->map_ssn = ssn;
	b->map_len = len;
	b->flags |= SN_BUF_MAP;
}

void sn_dss_map_capable(struct sn_conn *c, const struct sn_mp_capable *cap, struct sn_buf *b)
{
	note_map(b, c->remote_idsn + 1, 1, cap->data_len);
	if (cap->len == 24) {
		b->flags |= SN_BUF_MAP_CSUM;
		b->map_csum = cap->csum;
	}
}

/* A DATA_FIN without data: its checksum covers the pseudo header only. */
static bool lone_fin_ok(const struct sn_conn *c, const struct sn_mp_dss *d, uint64_t dsn)
{
	if (!c->csum || !(d->flags & SN_DSS_HAS_CSUM))
		return true;
	return sn_csum_finish(pseudo_sum(dsn, d->ssn, d->len) + d->csum) == 0;
}

/* From here on DATA_ACKs have 64 bits, and segments with data leave room for them. */
static void widen(struct sn_conn *c)
{
	c->wide_ack = true;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		struct sn_subflow *sf = c->sf[i];
		if (sf && sf->shared && sf->tcp) {
			sf->shared = false;
			sn_sf_shared(sf, true);
		}
	}
}

bool sn_dss_input(struct sn_subflow *sf, const struct sn_tcp_seg *seg, struct sn_buf *payload, sn_time now)
{
	struct sn_conn *c = sf->conn;
	const struct sn_mp_dss *d = &seg->mp.dss;

	if (d->flags & SN_DSS_ACK) {
		uint64_t ack = d->flags & SN_DSS_ACK64 ? d->ack : expand(c->snd_una, (uint32_t)d->ack);
		sn_send_data_ack(c, ack, now);
		/* A number from the future moves no window either. */
		if (sn_dsn_leq(ack, c->snd_end + 1))
			sn_send_window(c, ack, (uint32_t)seg->wnd << sf->peer_wscale);
	}
	if (!(d->flags & SN_DSS_MAP))
		return true;
	uint64_t dsn = d->flags & SN_DSS_DSN64 ? d->dsn : expand(c->rcv_nxt, (uint32_t)d->dsn);
	if (SN_UNLIKELY((d->flags & SN_DSS_DSN64) && !c->wide_ack))
		widen(c);
	if (d->len == 0) {
		c->e->counters.InfiniteMapRx++;
		if (sn_conn_fallback(c, sf, now))
			return true;
		sn_sf_reset(sf, SN_RST_PROTOCOL, now);
		return false;
	}
	bool payload_here = payload && seg->len;
	if ((d->flags & SN_DSS_FIN) && (d->len == 1 || !payload_here)) {
		if (lone_fin_ok(c, d, dsn))
			sn_recv_fin(c, dsn + d->len - 1, now);
		if (d->len == 1)
			return true;
	}
	if (payload_here) {
		note_map(payload, dsn, d->ssn, d->len);
		if (d->flags & SN_DSS_FIN)
			payload->flags |= SN_BUF_MAP_FIN;
		if (d->flags & SN_DSS_HAS_CSUM) {
			payload->flags |= SN_BUF_MAP_CSUM;
			payload->map_csum = d->csum;
		}
	}
	return true;
}

/* --- applying mappings to in-order bytes --- */

enum verdict { GO_ON, FELL_BACK, RESET };

static enum verdict corrupt(struct sn_subflow *sf, sn_time now)
{
	sf->conn->e->counters.DSSCorruptionReset++;
	sn_sf_reset(sf, SN_RST_MIDDLEBOX, now);
	return RESET;
}

/* Data that no mapping explains, RFC 8684 3.7: somebody took the option away. The subflow is gone after RESET. */
static enum verdict unmapped(struct sn_subflow *sf, sn_time now)
{
	struct sn_conn *c = sf->conn;
	if (!sn_conn_fallback(c, sf, now))
		return corrupt(sf, now);
	c->e->counters.DSSCorruptionFallback++;
	return FELL_BACK;
}

/* After a fallback of ours the peer may not know of it and go on in MPTCP, with data sent a second time too. Its mappings
 * still tell where its bytes belong: anywhere but where the plain stream puts them means an end, never a wrong byte. */
bool sn_dss_plain_ok(const struct sn_subflow *sf, const struct sn_tcp_seg *seg)
{
	const struct sn_mp_dss *d = &seg->mp.dss;
	const struct sn_conn *c = sf->conn;

	if (!c->keyed || !seg->len || !(seg->mp.present & SN_MP_BIT(SN_MP_DSS)) || !(d->flags & SN_DSS_MAP) || !d->len)
		return true;
	if ((int32_t)(d->ssn + d->len - sf->rcv_ssn) <= 0)
		return true; /* sent again by TCP: from before */
	return (uint32_t)d->dsn - d->ssn == sf->plain_base;
}

/* May a mapping be restated like this? The same again, a part of it, or (without a checksum over the whole) one that goes
 * further: what matters is that every byte keeps its place. */
static bool agrees(struct sn_subflow *sf, const struct sn_buf *b)
{
	uint32_t len = b->map_len - (b->flags & SN_BUF_MAP_FIN ? 1u : 0);
	uint32_t shift = b->map_ssn - sf->map_ssn, end = shift + len;

	if ((uint64_t)(int64_t)(int32_t)shift != b->map_dsn - sf->map_dsn)
		return false;
	if ((int32_t)end < (int32_t)sf->map_len)
		return !(b->flags & SN_BUF_MAP_FIN);
	if (end == sf->map_len) {
		/* Linux puts its DATA_FIN on the last bytes of a mapping that went out without. What the checksum
		 * covers stays as it was said first. */
		sf->map_fin |= (b->flags & SN_BUF_MAP_FIN) != 0;
		return true;
	}
	if (sf->conn->csum || sf->map_fin)
		return false;
	uint32_t done = sf->rcv_ssn - sf->map_ssn; /* kept small: a mapping may go on growing */
	sf->map_ssn += done;
	sf->map_dsn += done;
	sf->map_len = end - done;
	sf->map_fin = (b->flags & SN_BUF_MAP_FIN) != 0;
	return true;
}

/* Makes sure that a mapping covers rcv_ssn, taking the buffer's own if the one in use is through. */
static enum verdict find_map(struct sn_subflow *sf, const struct sn_buf *b, sn_time now)
{
	struct sn_conn *c = sf->conn;

	if (sf->map_on) {
		if (!(b->flags & SN_BUF_MAP) || agrees(sf, b))
			return GO_ON;
		c->e->counters.DSSNotMatching++;
		return corrupt(sf, now); /* the peer speaks MPTCP: no case for TCP */
	}
	uint32_t len = b->map_len - (b->flags & SN_BUF_MAP_FIN ? 1u : 0);
	if (!(b->flags & SN_BUF_MAP) || sf->rcv_ssn - b->map_ssn >= len) {
		c->e->counters.DSSNoMatchTCP++;
		return unmapped(sf, now);
	}
	if (c->csum != ((b->flags & SN_BUF_MAP_CSUM) != 0)) {
		/* Not as agreed (RFC 8684 3.3): the peer speaks MPTCP, so this is no case for TCP either. */
		c->e->counters.DSSNotMatching++;
		c->e->counters.DSSCorruptionReset++;
		sn_sf_reset(sf, SN_RST_PROTOCOL, now);
		return RESET;
	}
	sf->map_on = true;
	sf->map_fin = sf->map_sum_fin = (b->flags & SN_BUF_MAP_FIN) != 0;
	sf->map_csum = b->map_csum;
	sf->map_dsn = b->map_dsn;
	sf->map_ssn = b->map_ssn;
	sf->map_len = len;
	sf->sum = sf->summed = 0;
	return GO_ON;
}

void sn_dss_drop_held(struct sn_subflow *sf)
{
	sn_buf_free_chain(sf->held);
	sf->held = sf->held_tail = NULL;
}

/* Gives everything held to the connection. */
static void pass_held(struct sn_subflow *sf, sn_time now)
{
	struct sn_buf *b = sf->held;
	sf->held = sf->held_tail = NULL;
	while (b) {
		struct sn_buf *next = b->next;
		sn_recv_data(sf->conn, sf, b, now);
		b = next;
	}
}

/* The whole mapping is here: is its checksum right? */
static enum verdict verify(struct sn_subflow *sf, sn_time now)
{
	struct sn_conn *c = sf->conn;
	uint32_t sum = pseudo_sum(sf->map_dsn, sf->map_ssn, sf->map_len + sf->map_sum_fin) + sf->map_csum;
	if (sn_csum_finish(sum + sn_csum_fold(sf->sum)) == 0) {
		c->csum_good = true;
		return GO_ON;
	}
	c->e->counters.DataCsumErr++;
	/* RFC 8684 3.7: somebody changes the payload. All of the data came this way: tell the peer, which then turns to an
	 * infinite mapping, and take the stream as TCP would. */
	if ((c->failing && now - c->fail_at < SN_SEC) || sn_conn_tell_fail(c, sf, sf->map_dsn, now))
		return GO_ON;
	/* Else this subflow ends, and the data comes again on another one. */
	sf->fail_dsn = sf->map_dsn;
	sf->owe |= SN_OWE_FAIL;
	c->e->counters.MPFailTx++;
	c->e->counters.DSSCorruptionReset++;
	sn_sf_reset(sf, SN_RST_MIDDLEBOX, now);
	return RESET;
}

/* One buffer: gives it to the connection, or holds it until its mapping's checksum is known. */
static enum verdict take(struct sn_subflow *sf, struct sn_buf *b, sn_time now)
{
	struct sn_conn *c = sf->conn;
	uint32_t done = sf->rcv_ssn - sf->map_ssn;
	bool last;

	b->dsn = sf->map_dsn + done;
	sf->rcv_ssn += b->len;
	last = done + b->len == sf->map_len;
	if (c->csum) {
		/* A mapping is summed from its first byte on: a retransmission never starts inside one here, since what
		 * came before was held as well. */
		sf->sum = sn_csum_fold(sn_csum_join(sf->sum, sn_csum_partial(b->data, b->len, 0), sf->summed));
		sf->summed += b->len;
		/* What is held belongs to one mapping, without gaps. */
		if (sf->held && sn_buf_join(sf->held_tail, b)) {
			sn_buf_free(b);
		} else {
			b->next = NULL;
			*(sf->held ? &sf->held_tail->next : &sf->held) = b;
			sf->held_tail = b;
		}
		if (!last)
			return GO_ON;
		enum verdict v = verify(sf, now);
		if (v != GO_ON)
			return v;
		pass_held(sf, now);
	} else {
		sn_recv_data(c, sf, b, now);
	}
	if (last) {
		sf->map_on = false;
		if (sf->map_fin)
			sn_recv_fin(c, sf->map_dsn + sf->map_len, now);
	}
	return GO_ON;
}

void sn_dss_data(struct sn_subflow *sf, struct sn_buf *chain, sn_time now)
{
	struct sn_conn *c = sf->conn;

	while (chain) {
		struct sn_buf *b = chain;
		if (!b->len) {
			chain = b->next;
			sn_buf_free(b);
			continue;
		}
		enum verdict v = find_map(sf, b, now);
		if (v == GO_ON && b->len > sf->map_len - (sf->rcv_ssn - sf->map_ssn)) {
			/* Longer than what its mapping explains. */
			c->e->counters.DSSNoMatchTCP++;
			v = unmapped(sf, now);
		}
		if (v == GO_ON) {
			chain = b->next;
			v = take(sf, b, now);
		}
		if (v == FELL_BACK) {
			sn_recv_plain(c, chain, now);
		} else if (v == RESET) {
			sn_buf_free_chain(chain);
		}
		if (v != GO_ON)
			return;
	}
}

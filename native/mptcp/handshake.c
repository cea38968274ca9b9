/* SPDX-License-Identifier: Apache-2.0
 *
 * What TCP tells us (struct sn_tcp_up) and the handshakes MP_CAPABLE (RFC 8684 3.1) and MP_JOIN (3.2).
 *
 *   client                                server
 *     | SYN       MP_CAPABLE 4              |          | SYN       MP_JOIN 12 (token, nonce)   |
 *     |------------------------------------>|          |-------------------------------------->|
 *     | SYN/ACK   MP_CAPABLE 12 (key)       |          | SYN/ACK   MP_JOIN 16 (HMAC, nonce)    |
 *     |<------------------------------------|          |<--------------------------------------|
 *     | ACK       MP_CAPABLE 20 (both keys) |          | ACK       MP_JOIN 24 (HMAC)           |
 *     |------------------------------------>| fully    |-------------------------------------->| up
 *     | data      MP_CAPABLE 22/24 + mapping|          | ACK       DSS                         |
 *     |------------------------------------>|       up |<--------------------------------------|
 *     | ACK       DSS with DATA_ACK         |
 *     |<------------------------------------| fully
 */
#include "mptcp/conn.h"

/* --- steps --- */

void sn_sf_shared(struct sn_subflow *sf, bool on)
{
	if (sf->shared == on || !sf->tcp)
		return;
	sf->shared = on;
	const struct sn_conn *c = sf->conn;
	uint32_t reserve = c->wide_ack ? SN_DSS_RESERVE_WIDE : SN_DSS_RESERVE;
	c->ops->set_shared_window(sf->tcp, on, on ? reserve | (c->csum ? SN_TCP_RESERVE_SUM : 0) : 0);
}

void sn_conn_keyed(struct sn_conn *c, uint64_t remote_key)
{
	c->remote_key = remote_key;
	sn_mp_key_digest(remote_key, &c->remote_token, &c->remote_idsn);
	c->rcv_nxt = c->remote_idsn + 1;
	c->rcv_edge = c->rcv_adv = c->rcv_nxt + c->rcv_size;
	c->keyed = true;
}

void sn_conn_fully(struct sn_conn *c)
{
	bool before = c->fully;
	c->fully = true;
	c->pm_dirty = true;
	if (!before)
		sn_pm_tell(c, SN_PM_ESTABLISHED);
	sn_conn_wake(c);
}

void sn_sf_up(struct sn_subflow *sf, sn_time now)
{
	struct sn_conn *c = sf->conn;
	sf->state = SN_SF_UP;
	sf->since = now;
	sn_wheel_cancel(&c->e->wheel, &sf->t_join);
	sf->t_path.fire = sn_path_fire;
	if (!c->app_closed && !c->finishing)
		sn_wheel_cancel(&c->e->wheel, &c->t_close); /* a subflow again: no need to give up */
	c->pm_dirty = true;
	sn_path_up(sf);
	if (c->tune.keep_idle || c->tune.user_timeout)
		sn_sf_tune(sf, now);
	if (sf->kind == SN_SF_JOIN)
		sn_pm_tell_sf(sf, SN_PM_SUB_ESTABLISHED, SN_OK);
	sn_conn_wake(c);
}

/* --- the peer's answers --- */

static bool synack_capable(struct sn_subflow *sf, const struct sn_tcp_seg *seg, sn_time now)
{
	struct sn_conn *c = sf->conn;
	const struct sn_mp_capable *cap = &seg->mp.capable;

	if (!(seg->mp.present & SN_MP_BIT(SN_MP_CAPABLE)) || cap->len != 12 || cap->version != 1 ||
	    !(cap->flags & SN_MPC_HMAC_SHA256) || (cap->flags & SN_MPC_EXT)) {
		c->e->counters.MPCapableFallbackSYNACK++;
		return sn_conn_fallback(c, sf, now);
	}
	c->e->counters.MPCapableSYNACKRX++;
	sn_conn_keyed(c, cap->sender_key);
	c->csum |= (cap->flags & SN_MPC_CSUM) != 0;
	c->peer_no_join = (cap->flags & SN_MPC_NO_JOIN) != 0;
	c->snd_edge = c->snd_una + seg->wnd; /* not scaled on a SYN */
	return true;
}

static bool synack_join(struct sn_subflow *sf, const struct sn_tcp_seg *seg, sn_time now)
{
	struct sn_conn *c = sf->conn;
	const struct sn_mp_join *j = &seg->mp.join;
	uint8_t h[32];

	if (!(seg->mp.present & SN_MP_BIT(SN_MP_JOIN)) || j->len != 16) {
		sn_sf_reset(sf, SN_RST_PROTOCOL, now);
		return false;
	}
	c->e->counters.MPJoinSynAckRx++;
	c->e->counters.MPJoinSynAckBackupRx += j->backup != 0;
	c->e->counters.MPJoinPortSynAckRx += sf->flow.rport != c->flow.rport;
	sf->remote_nonce = j->nonce;
	sf->remote_id = j->addr_id;
	sn_mp_hmac_join(c->remote_key, c->local_key, sf->remote_nonce, sf->local_nonce, h);
	if (sn_get64(h) != j->hmac64) {
		c->e->counters.MPJoinSynAckHMacFailure++;
		sn_sf_reset(sf, SN_RST_PROTOCOL, now);
		return false;
	}
	sf->peer_backup = j->backup != 0;
	sn_sf_backup(sf);
	sn_mp_hmac_join(c->local_key, c->remote_key, sf->local_nonce, sf->remote_nonce, h);
	memcpy(sf->hmac, h, sizeof sf->hmac);
	return true;
}

static bool synack(struct sn_subflow *sf, const struct sn_tcp_seg *seg, sn_time now)
{
	sf->peer_wscale = seg->opts & SN_OPT_WSCALE ? SN_MIN(seg->wscale, 14) : 0;
	if (sf->kind == SN_SF_CAPABLE)
		return synack_capable(sf, seg, now);
	if (sf->kind == SN_SF_JOIN)
		return synack_join(sf, seg, now);
	return true;
}

/* The third ACK at the server. False: drop it. */
static bool third_ack(struct sn_subflow *sf, const struct sn_tcp_seg *seg, sn_time now)
{
	struct sn_conn *c = sf->conn;
	const struct sn_mp_opts *mp = &seg->mp;

	if (sf->kind == SN_SF_JOIN) {
		if (!(mp->present & SN_MP_BIT(SN_MP_JOIN)) || mp->join.len != 24) {
			sn_sf_reset(sf, SN_RST_PROTOCOL, now);
			return false;
		}
		c->e->counters.MPJoinAckRx++;
		c->e->counters.MPJoinPortAckRx += sf->flow.lport != c->flow.lport;
		if (sn_mp_equal(mp->join.hmac, sf->hmac, sizeof sf->hmac)) {
			c->joined = true; /* not before: anybody who saw the token can send a SYN */
			return true;
		}
		c->e->counters.MPJoinAckHMacFailure++;
		sn_sf_reset(sf, SN_RST_PROTOCOL, now);
		return false;
	}
	if (mp->present & SN_MP_BIT(SN_MP_CAPABLE)) {
		const struct sn_mp_capable *cap = &mp->capable;
		if (cap->len >= 20 && cap->version == 1 && cap->receiver_key == c->local_key) {
			c->e->counters.MPCapableACKRX++;
			sn_conn_keyed(c, cap->sender_key);
			/* The third ACK carries what both want together. */
			c->csum |= (cap->flags & SN_MPC_CSUM) != 0;
			c->snd_edge = c->snd_una + ((uint32_t)seg->wnd << sf->peer_wscale);
			sn_conn_fully(c);
			return true;
		}
	} else if (mp->present & SN_MP_BIT(SN_MP_DSS)) {
		return false; /* overtook the one with the keys, which will come again */
	}
	c->e->counters.MPCapableFallbackACK++;
	return sn_conn_fallback(c, sf, now);
}

/* MP_FASTCLOSE, RFC 8684 3.5: with our key, alone or on a RST. True if it was one. */
static bool fastclose(struct sn_subflow *sf, const struct sn_tcp_seg *seg, sn_time now)
{
	struct sn_conn *c = sf->conn;
	if (!c->mptcp || !c->keyed || !(seg->mp.present & SN_MP_BIT(SN_MP_FASTCLOSE)) ||
	    seg->mp.fastclose_key != c->local_key)
		return false;
	c->e->counters.MPFastcloseRx++;
	sn_conn_fail(c, SN_E_RESET, false, seg->flags & SN_TH_RST ? sf : NULL, now);
	return true;
}

/* The first word of a server after its SYN/ACK tells whether it goes on in MPTCP (RFC 8684 3.7). */
static void first_word(struct sn_subflow *sf, const struct sn_mp_opts *mp, sn_time now)
{
	struct sn_conn *c = sf->conn;
	bool dss = (mp->present & SN_MP_BIT(SN_MP_DSS)) && (mp->dss.flags & SN_DSS_ACK);
	bool add = (mp->present & SN_MP_BIT(SN_MP_ADD_ADDR)) && !mp->add_addr.echo;
	if (dss || add)
		sn_conn_fully(c);
	else if (!(mp->present & SN_MP_BIT(SN_MP_CAPABLE)))
		sn_conn_fallback(c, sf, now);
}

static bool up_segment(struct sn_subflow *sf, const struct sn_tcp_seg *seg, struct sn_buf *payload, sn_time now)
{
	struct sn_conn *c = sf->conn;
	const struct sn_mp_opts *mp = &seg->mp;

	c->e->counters.MPOptBad += mp->bad;
	if (seg->flags & SN_TH_RST) {
		sf->peer_reset = true;
		if (mp->present & SN_MP_BIT(SN_MP_TCPRST)) {
			c->e->counters.MPRstRx++;
			sf->peer_reason = mp->rst_reason;
			sf->peer_transient = mp->rst_flags & SN_RST_TRANSIENT;
		}
		c->e->counters.MPFailRx += (mp->present & SN_MP_BIT(SN_MP_FAIL)) != 0;
		fastclose(sf, seg, now);
		return true;
	}
	if (seg->flags & SN_TH_SYN)
		return sf->state == SN_SF_OPENING && sf->active ? synack(sf, seg, now) : true;
	if (sf->kind != SN_SF_PLAIN && sf->state == SN_SF_OPENING && !sf->active && !third_ack(sf, seg, now))
		return false;
	if (sf->kind == SN_SF_PLAIN) {
		c->e->counters.InfiniteMapRx +=
			(mp->present & SN_MP_BIT(SN_MP_DSS)) && (mp->dss.flags & SN_DSS_MAP) && !mp->dss.len;
		if (SN_LIKELY(sn_dss_plain_ok(sf, seg)))
			return true;
		c->e->counters.DSSCorruptionReset++;
		sn_sf_reset(sf, SN_RST_MIDDLEBOX, now);
		return false;
	}
	sf->bare = !mp->present && !seg->nsack; /* SACK blocks may have taken the room of an option: dss.c */
	if (SN_UNLIKELY(sf->silent))
		sn_path_heard(sf, seg, now);
	if (fastclose(sf, seg, now))
		return false;
	if (sf->kind == SN_SF_CAPABLE && !sf->active && payload && (mp->present & SN_MP_BIT(SN_MP_CAPABLE)) &&
	    mp->capable.len >= 22 && mp->capable.receiver_key == c->local_key)
		sn_dss_map_capable(c, &mp->capable, payload);
	if (sf->kind == SN_SF_CAPABLE && sf->active && !c->fully)
		first_word(sf, mp, now);
	if (c->mptcp && (mp->present & SN_MP_BIT(SN_MP_DSS)) && !sn_dss_input(sf, seg, payload, now))
		return false;
	if (!c->mptcp)
		return true;
	/* The fourth packet of a join. */
	if (sf->state == SN_SF_CONFIRM && (mp->present & SN_MP_BIT(SN_MP_DSS)) && (mp->dss.flags & SN_DSS_ACK))
		sn_sf_up(sf, now);
	if (mp->present & SN_MP_BIT(SN_MP_FAIL)) {
		c->e->counters.MPFailRx++;
		/* It names data that we sent. Contiguous on this one subflow: go on without mappings; else it has to go. */
		if (sn_dsn_lt(c->snd_nxt, mp->fail_dsn))
			c->e->counters.MPOptBad++;
		else if (c->failing || sn_conn_tell_fail(c, sf, c->rcv_nxt, now)) {
			c->infinite_due = sn_conn_can_fall_back(c);
			return true;
		} else {
			sn_sf_reset(sf, SN_RST_MIDDLEBOX, now);
			return false;
		}
	}
	return sn_pm_segment(sf, seg, now);
}

/* --- TCP's other words --- */

static void up_established(struct sn_subflow *sf, sn_time now)
{
	struct sn_conn *c = sf->conn;

	if (sf->kind == SN_SF_JOIN) {
		sn_sf_shared(sf, true);
		if (sf->active) {
			sf->state = SN_SF_CONFIRM;
			sn_wheel_arm(&c->e->wheel, &sf->t_join, now + sn_join_ack_delay(sf));
		} else {
			sn_sf_up(sf, now);
			c->ops->ack_now(sf->tcp, now); /* the fourth packet */
		}
		return;
	}
	if (sf->kind == SN_SF_CAPABLE)
		sn_sf_shared(sf, true);
	sn_sf_up(sf, now);
	if (c->state == SN_CONN_CONNECTING) {
		sn_conn_set_state(c, SN_CONN_ESTABLISHED);
		sn_pm_tell(c, SN_PM_CREATED);
		c->owe_open = true;
		/* An answer came only when the option was gone: that is the path's doing. */
		if (c->no_option)
			sn_blackhole_note(c->e, &sf->flow.remote, now);
		else if (sf->active && sf->kind == SN_SF_CAPABLE)
			sn_blackhole_forget(c->e, &sf->flow.remote);
	}
}

static void up_data(struct sn_subflow *sf, struct sn_buf *chain, sn_time now)
{
	if (sf->conn->dead || sf->conn->doomed)
		sn_buf_free_chain(chain);
	else if (sf->kind == SN_SF_PLAIN)
		sn_recv_plain(sf->conn, chain, now);
	else
		sn_dss_data(sf, chain, now);
}

static void up_acked(struct sn_subflow *sf, sn_time now)
{
	sf->late = sf->owns = false;
	sn_path_acked(sf, now);
	sn_conn_wake(sf->conn);
}

static void up_room(struct sn_subflow *sf, sn_time now)
{
	(void)now;
	sn_conn_wake(sf->conn);
}

static void up_early_taken(struct sn_subflow *sf, uint32_t len, sn_time now)
{
	(void)now;
	sn_send_early(sf->conn, len);
}

static void up_early_data(struct sn_subflow *sf, struct sn_buf *b, sn_time now) { sn_recv_plain(sf->conn, b, now); }

static uint32_t up_window(struct sn_subflow *sf) { return sn_recv_window(sf->conn); }

/* Buffers are short. The connection's next bytes are always welcome unless nobody reads; others as far as the
 * out-of-order queue may be long. */
static bool wanted(const struct sn_subflow *sf, const struct sn_buf *b, uint32_t ssn)
{
	const struct sn_conn *c = sf->conn;
	uint64_t dsn;

	if (c->stuck && c->e->tight == SN_TIGHT_LAST)
		return false;
	if (sf->kind == SN_SF_PLAIN || c->ooo_count < c->e->ooo_max)
		return true;
	if (b->flags & SN_BUF_MAP)
		dsn = b->map_dsn + (uint32_t)(ssn - b->map_ssn);
	else if (sf->map_on)
		dsn = sf->map_dsn + (uint32_t)(ssn - sf->map_ssn);
	else
		return true;
	return sn_dsn_leq(dsn, c->rcv_nxt);
}

static bool up_admit(struct sn_subflow *sf, const struct sn_buf *b, uint32_t ssn)
{
	sn_time now = sf->conn->e->now;

	if (wanted(sf, b, ssn)) {
		sf->refused = 0;
		return true;
	}
	if (!sf->refused)
		sf->refused = now;
	/* What the connection waits for may stand behind this: let it pass, to be dropped by the connection. */
	return !sf->conn->stuck && now - sf->refused > SN_REFUSE_MAX;
}

static bool up_rto(struct sn_subflow *sf, uint32_t in_a_row, sn_time now)
{
	struct sn_conn *c = sf->conn;

	if (sf->state == SN_SF_OPENING) {
		if (sf->kind == SN_SF_JOIN)
			return in_a_row <= 3;
		if (!sf->active)
			return in_a_row <= SN_SYNACK_TRIES;
		/* Somebody on the path may drop SYNs with an option it does not know. */
		if (sf->active && sf->kind == SN_SF_CAPABLE && in_a_row > SN_SYN_TRIES_MPTCP &&
		    sn_conn_fallback(c, sf, now)) {
			c->no_option = true;
			c->e->counters.MPCapableSYNTXDrop++;
		}
		return true;
	}
	if (!c->mptcp)
		return true;
	sf->late = true;
	sn_conn_wake(c);
	if (sf->state == SN_SF_UP)
		sn_path_rto(sf, in_a_row, now);
	return true;
}

static void up_fin(struct sn_subflow *sf, sn_time now)
{
	struct sn_conn *c = sf->conn;
	if (sf->kind == SN_SF_PLAIN) {
		c->peer_fin = true;
		if (c->state == SN_CONN_ESTABLISHED)
			sn_conn_set_state(c, SN_CONN_CLOSING);
	} else if (!c->finishing && !c->dead) {
		sn_sf_leave(sf, now);
	}
	sn_conn_wake(c);
}

static void up_closed(struct sn_subflow *sf, enum sn_err err, sn_time now)
{
	struct sn_conn *c = sf->conn;
	/* An abort is our own doing and a join that does not come about is no loss: they explain nothing. */
	bool never_was = sf->kind == SN_SF_JOIN && sf->state == SN_SF_OPENING;
	if (sf->state == SN_SF_OPENING && !sf->active && err == SN_E_TIMEDOUT)
		c->e->counters.tcp_syn_expired++;
	if (!never_was && (err != SN_E_ABORTED || !c->last_err))
		c->last_err = err;
	sf->tcp = NULL;
	sn_sent_lost(c, sf->slot);
	sn_pm_sf_gone(sf, err, now);
	sn_sf_free(sf);
	sn_conn_wake(c);
}

const struct sn_tcp_up sn_mptcp_up = {
	.established = up_established,
	.segment = up_segment,
	.data = up_data,
	.acked = up_acked,
	.room = up_room,
	.options = sn_mp_options,
	.unit = sn_mp_unit,
	.window = up_window,
	.rto = up_rto,
	.fin = up_fin,
	.closed = up_closed,
	.admit = up_admit,
	.early_taken = up_early_taken,
	.early_data = up_early_data,
};

/* SPDX-License-Identifier: Apache-2.0
 *
 * From MPTCP to plain TCP (RFC 8684 3.7): when it is allowed, what it takes with it, MP_FAIL and the infinite mapping.
 *
 *   receiver                                     sender
 *     | wrong checksum: MP_FAIL   (failing)         |
 *     |-------------------------------------------->|
 *     |                               MP_FAIL       | (infinite_due)
 *     |<--------------------------------------------|
 *     | data, mappings, DATA_ACK go on              |
 *     |             new data, infinite mapping      | plain
 *     |<--------------------------------------------|
 *     | plain                                       |
 */
#include "mptcp/conn.h"

bool sn_conn_can_fall_back(const struct sn_conn *c)
{
	return c->mptcp && !c->joined && !c->reinjected && c->nsf == 1 && !c->ooo;
}

bool sn_conn_fallback(struct sn_conn *c, struct sn_subflow *sf, sn_time now)
{
	if (!sn_conn_can_fall_back(c))
		return false;
	c->mptcp = false;
	c->fell_back = true;
	c->e->counters.conn_fallback++;
	sn_token_remove(c);
	sn_sent_purge(c);
	sn_wheel_cancel(&c->e->wheel, &c->t_rtx);
	sn_wheel_cancel(&c->e->wheel, &c->t_fin);
	sn_wheel_cancel(&c->e->wheel, &c->t_pm);
	c->fin_sent = c->peer_fin_known = false; /* FIN takes the place of DATA_FIN */
	sf->kind = SN_SF_PLAIN;
	sf->map_on = false;
	/* What waited for a checksum comes first. */
	struct sn_buf *held = sf->held;
	sf->held = sf->held_tail = NULL;
	sn_recv_plain(c, held, now);
	sf->plain_base = (uint32_t)c->rcv_nxt - sf->rcv_ssn;
	sn_sf_shared(sf, false);
	sn_conn_wake(c);
	return true;
}

bool sn_conn_tell_fail(struct sn_conn *c, struct sn_subflow *sf, uint64_t fail_dsn, sn_time now)
{
	if (!sn_conn_can_fall_back(c) || !sf->tcp)
		return false;
	c->failing = true;
	c->fail_at = now;
	c->e->counters.MPFailTx++;
	sf->fail_dsn = fail_dsn;
	sf->owe |= SN_OWE_FAIL;
	c->ops->ack_now(sf->tcp, now);
	sf->owe &= (uint8_t)~SN_OWE_FAIL;
	c->dup_rx = true; /* that ACK knew nothing of the data yet */
	sn_conn_wake(c);
	return true;
}

void sn_conn_go_infinite(struct sn_conn *c, sn_time now)
{
	struct sn_subflow *sf = sn_conn_any_up(c);
	uint64_t from = c->snd_una;
	c->infinite_due = false;
	if (!sf || !sn_conn_fallback(c, sf, now))
		return;
	sf->infinite_dsn = from;
	sf->owe |= SN_OWE_INFINITE;
	c->ops->set_shared_window(sf->tcp, false, SN_DSS_RESERVE);
}

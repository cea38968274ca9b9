/* SPDX-License-Identifier: Apache-2.0
 *
 * What path managers outside are told: a bounded queue of struct sn_pm_event, filled only while somebody watches. What
 * finds no room is counted. Events are taken in batches, soon after the first: that costs the packets less than a
 * word for each.
 */
#include "mptcp/conn.h"

static struct sn_pm_event *next_event(struct sn_engine *e)
{
	struct sn_mptcp *m = &e->mptcp;

	if (m->event_n == SN_PM_EVENTS) {
		m->event_lost++;
		return NULL;
	}
	if (!m->event_n)
		m->event_due = e->now + SN_PM_EVENTS_SOON;
	else if (m->event_n == SN_PM_EVENTS / 4) /* once: whoever cannot take them now is not asked all the time */
		m->event_due = e->now;
	struct sn_pm_event *v = &m->event[(m->event_head + m->event_n++) % SN_PM_EVENTS];
	memset(v, 0, sizeof *v);
	return v;
}

static void of_conn(struct sn_pm_event *v, const struct sn_conn *c, enum sn_pm_event_kind kind)
{
	v->kind = (uint8_t)kind;
	v->server = c->server;
	v->no_join = c->peer_no_join;
	v->conn = c->id;
	v->token = c->token;
}

static void of_flow(struct sn_pm_event *v, const struct sn_flow *flow)
{
	memcpy(v->laddr, flow->local.b, 16);
	memcpy(v->raddr, flow->remote.b, 16);
	v->lport = flow->lport;
	v->rport = flow->rport;
}

static void tell(struct sn_conn *c, enum sn_pm_event_kind kind)
{
	struct sn_pm_event *v = c->e->mptcp.watched ? next_event(c->e) : NULL;

	if (!v)
		return;
	of_conn(v, c, kind);
	of_flow(v, &c->flow);
}

void sn_pm_tell(struct sn_conn *c, enum sn_pm_event_kind kind)
{
	/* CREATED first, CLOSED once, and for nothing that was never told of. */
	if (kind == SN_PM_CLOSED ? !c->pm_told : !c->mptcp)
		return;
	if (kind == SN_PM_CLOSED) {
		tell(c, kind);
		c->e->counters.MPCurrEstab--;
		c->pm_told = false;
		return;
	}
	if (!c->pm_told) {
		tell(c, SN_PM_CREATED);
		c->e->counters.MPCurrEstab++;
	}
	c->pm_told = true;
	if (kind != SN_PM_CREATED)
		tell(c, kind);
}

void sn_pm_tell_addr(struct sn_conn *c, enum sn_pm_event_kind kind, uint8_t remote_id, const struct sn_mp_add_addr *a)
{
	struct sn_pm_event *v = c->e->mptcp.watched ? next_event(c->e) : NULL;

	if (!v)
		return;
	of_conn(v, c, kind);
	v->remote_id = remote_id;
	if (a) {
		memcpy(v->raddr, a->addr.b, 16);
		v->rport = a->has_port ? a->port : 0;
	}
}

void sn_pm_tell_sf(struct sn_subflow *sf, enum sn_pm_event_kind kind, enum sn_err err)
{
	struct sn_conn *c = sf->conn;
	struct sn_pm_event *v = c->e->mptcp.watched && c->pm_told ? next_event(c->e) : NULL;

	if (!v)
		return;
	of_conn(v, c, kind);
	of_flow(v, &sf->flow);
	v->subflow = sf->slot;
	v->join = sf->kind == SN_SF_JOIN;
	v->local_id = sf->local_id;
	v->remote_id = sf->remote_id;
	v->backup = sf->backup;
	v->port = sf->port;
	v->error = -(int32_t)err;
	v->has_reason = sf->peer_reason != SN_RST_NONE;
	v->reset_reason = v->has_reason ? sf->peer_reason : 0;
	v->reset_flags = sf->peer_transient;
}

void sn_mptcp_watch(struct sn_engine *e, bool on)
{
	struct sn_mptcp *m = &e->mptcp;

	m->watched = on;
	if (!on) {
		m->event_n = 0;
		m->event_lost = 0;
	}
}

uint32_t sn_mptcp_events(struct sn_engine *e, struct sn_pm_event *out, uint32_t n, uint64_t *lost)
{
	struct sn_mptcp *m = &e->mptcp;
	uint32_t done = 0;

	for (; done < n && m->event_n; done++) {
		out[done] = m->event[m->event_head];
		m->event_head = (m->event_head + 1) % SN_PM_EVENTS;
		m->event_n--;
	}
	/* What was lost came after all of these. */
	if (!m->event_n) {
		*lost += m->event_lost;
		m->event_lost = 0;
	}
	return done;
}

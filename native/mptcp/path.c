/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths that fall silent. TCP's own timeout is made for one path and waits at least 200 ms; with another path beside it a
 * connection need not wait: a subflow with data in flight that answers nothing for about one and a half round trips is
 * `silent`. What it carries is sent again elsewhere (the tail of a transfer as well), nothing new goes there, and it is
 * asked by empty segments until it answers. If that lasts for SN_STALE_SRTTS round trips and at least SN_STALE_LEAST while
 * another subflow is answered, it is `stale`, as the kernel calls it; that only shows, what follows from it follows from
 * silence already. Timeouts of TCP count for nothing here: how short they are is a matter of TCP's profile.
 *
 *            data in flight, nothing heard for PTO               for long, others get on
 *   (fine) ------------------------------------------> silent ----------------------------------> silent, stale
 *      ^     an acknowledgement makes progress            |  an empty segment is answered: TCP sends what it lost now
 *      +--------------------------------------------------+
 *
 * Timer: t_path of a subflow. In flight: PTO after the last progress. Silent: PTO doubled each time, at most
 * PATH_ASK, for as long as the subflow lives, so that a path that comes back is in use within a second.
 */
#include "mptcp/conn.h"

#define PTO_MIN   (10 * SN_MSEC) /* a busy host on a short path is not a broken path */
#define PTO_LONE  (40 * SN_MSEC) /* one segment in flight: its ACK may be delayed */
#define PTO_SLACK (2 * SN_MSEC)
#define PATH_ASK  (500 * SN_MSEC)
#define KICK_GAP  (50 * SN_MSEC)

/* How long an answer may take before something is wrong. Acknowledgements come while data flows; what is measured is
 * the pause between them, so that queues that fill up are no reason for doubt. */
static sn_time pto(const struct sn_subflow *sf)
{
	struct sn_tcp_estimate est;
	sf->conn->ops->estimate(sf->tcp, &est);
	if (!est.srtt)
		return SN_SEC;
	sn_time margin = SN_MIN(SN_MAX(4 * est.rttvar, est.srtt / 2), est.srtt);
	sn_time t = SN_MAX(est.srtt + margin, PTO_MIN) + PTO_SLACK;
	/* Not what TCP believes to be in flight: after a timeout that is next to nothing. */
	return est.bytes_sent - est.bytes_acked <= est.mss ? t + PTO_LONE : t;
}

void sn_path_sent(struct sn_subflow *sf, sn_time now)
{
	struct sn_conn *c = sf->conn;
	sf->owns = false; /* it refers to the application's memory again */
	if (!c->mptcp)
		return;
	if (c->ops->idle(sf->tcp) && !sf->silent)
		sf->heard = now;
	if (!sn_timer_armed(&sf->t_path))
		sn_wheel_arm(&c->e->wheel, &sf->t_path, sf->heard + pto(sf));
}

/* What silent subflows carry has a new chance: somebody else can take it now. */
static void doubt_all(struct sn_conn *c)
{
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
		if (sn_sf_usable(c->sf[i]) && c->sf[i]->silent)
			sn_sent_doubt(c, (uint8_t)i);
}

void sn_path_up(struct sn_subflow *sf) { doubt_all(sf->conn); }

/* Silent for long while another subflow got on. */
static void check_stale(struct sn_subflow *sf, sn_time now)
{
	struct sn_conn *c = sf->conn;
	struct sn_tcp_estimate est;
	bool others = false;

	if (sf->stale)
		return;
	c->ops->estimate(sf->tcp, &est);
	if (now < sf->heard + SN_MAX(SN_STALE_SRTTS * est.srtt + 4 * est.rttvar, SN_STALE_LEAST))
		return;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
		others |= c->sf[i] != sf && sn_sf_usable(c->sf[i]) && c->sf[i]->heard > sf->heard;
	if (!others)
		return;
	sf->stale = true;
	c->e->counters.SubflowStale++;
}

static void fall_silent(struct sn_subflow *sf)
{
	sf->silent = true;
	sf->late = true;
	sf->kicked = 0;
	sn_sent_doubt(sf->conn, sf->slot);
	sn_conn_wake(sf->conn);
}

void sn_path_rto(struct sn_subflow *sf, uint32_t in_a_row, sn_time now)
{
	(void)in_a_row;
	/* Timers of a data centre are short, and one of TCP's may expire while answers come (the oldest segment was lost
	 * twice, say): only silence counts, unless there is nobody else to compare with. */
	if (!sf->silent && sf->conn->nsf > 1 && now < sf->heard + pto(sf))
		return;
	if (!sf->silent)
		fall_silent(sf);
	else
		sn_sent_doubt(sf->conn, sf->slot);
	check_stale(sf, now);
}

void sn_path_acked(struct sn_subflow *sf, sn_time now)
{
	struct sn_conn *c = sf->conn;

	sf->heard = now;
	if (SN_LIKELY(!sf->silent))
		return;
	sf->silent = false;
	sf->silences = 0;
	if (sf->stale) {
		sf->stale = false;
		c->e->counters.SubflowRecover++;
	}
	doubt_all(c);
}

void sn_path_heard(struct sn_subflow *sf, const struct sn_tcp_seg *seg, sn_time now)
{
	struct sn_conn *c = sf->conn;

	/* Data of the peer shows only that the other direction works; an empty segment may answer ours. */
	if (seg->len || sf->state != SN_SF_UP || (sf->kicked && now - sf->kicked < KICK_GAP))
		return;
	sf->kicked = now;
	c->ops->kick(sf->tcp, now);
}

void sn_path_fire(struct sn_timer *t, sn_time now)
{
	struct sn_subflow *sf = SN_CONTAINER(t, struct sn_subflow, t_path);
	struct sn_conn *c = sf->conn;

	if (!sn_sf_usable(sf) || !c->mptcp || c->dead || c->finished || c->ops->idle(sf->tcp))
		return;
	sn_time limit = pto(sf);
	if (!sf->silent && now < sf->heard + limit) {
		sn_wheel_arm(&c->e->wheel, t, sf->heard + limit);
		return;
	}
	/* Alone there is no way round: the timeouts of TCP decide, and the asking begins with them. */
	if (!sf->silent && c->nsf == 1) {
		sn_wheel_arm(&c->e->wheel, t, now + SN_MAX(limit, 100 * SN_MSEC));
		return;
	}
	if (!sf->silent)
		fall_silent(sf);
	if (sf->silences < UINT8_MAX)
		sf->silences++;
	check_stale(sf, now);
	/* A peer whose handshake is not over would answer without an MPTCP option: that means fallback. */
	if (c->fully)
		c->ops->probe(sf->tcp, now);
	sn_wheel_arm(&c->e->wheel, t, now + SN_MIN(limit << SN_MIN(sf->silences, 10), PATH_ASK));
}

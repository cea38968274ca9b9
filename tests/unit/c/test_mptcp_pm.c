/* SPDX-License-Identifier: Apache-2.0
 *
 * The path manager between two engines: laminar endpoints, ndiffports, events, single steps of a policy outside, and what
 * a connection tells about itself.
 */
#include "mptcp_pair.h"

static struct pair p;
static struct sn_pm_event ev[2][SN_PM_EVENTS];
static uint32_t ev_n[2];
static uint64_t ev_lost[2];

static void take(int side)
{
	uint32_t n;
	while ((n = sn_engine_events(p.s[side].e, ev[side] + ev_n[side], SN_PM_EVENTS - ev_n[side], &ev_lost[side])))
		ev_n[side] += n;
}

/* The first event of a kind from `from` on, NULL: none. */
static const struct sn_pm_event *event(int side, uint8_t kind)
{
	for (uint32_t i = 0; i < ev_n[side]; i++)
		if (ev[side][i].kind == kind)
			return &ev[side][i];
	return NULL;
}

static void start(void)
{
	pair_init(&p, 0);
	for (int i = 0; i < 2; i++) {
		ev_n[i] = 0;
		ev_lost[i] = 0;
		sn_engine_watch(p.s[i].e, true);
	}
}

static void connected(void)
{
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 500 * SN_MSEC);
}

static void close_both(void)
{
	pair_op(&p, A, SN_OP_CLOSE);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, 2 * SN_SEC);
	pair_close(&p);
}

static struct sn_subflow_info sf_info(int side, uint32_t i)
{
	struct sn_subflow_info info[SN_MAX_SUBFLOWS] = {0};
	uint32_t n = sn_engine_subflow_info(p.s[side].e, p.s[side].conn, info, SN_MAX_SUBFLOWS);
	CHECK(i < n);
	return info[i];
}

static struct sn_conn_info conn_info(int side)
{
	struct sn_conn_info info = {0};
	uint32_t cursor = 0;
	CHECK_EQ(sn_engine_conn_info(p.s[side].e, &cursor, &info, 1), 1);
	return info;
}

/* --- ndiffports ------------------------------------------------------------------------------------------------------ */

SN_TEST(ndiffports_opens_subflows_from_different_ports)
{
	struct sn_pm_limits limits = {.subflows = 8, .add_addr_accepted = 8, .ndiffports = 3};
	start();
	sn_engine_limits_set(p.s[A].e, &limits);
	connected();
	CHECK_EQ(pair_subflows(&p, A), 3);
	struct sn_subflow_info s[3];
	for (uint32_t i = 0; i < 3; i++) {
		s[i] = sf_info(A, i);
		CHECK(s[i].established);
		CHECK_EQ(s[i].rport, PEER_PORT);
		CHECK(memcmp(s[i].laddr, s[0].laddr, 16) == 0 && memcmp(s[i].raddr, s[0].raddr, 16) == 0);
		CHECK_EQ(s[i].laddr_id, 0);
	}
	CHECK(s[0].lport != s[1].lport && s[1].lport != s[2].lport && s[0].lport != s[2].lport);
	/* One that is lost comes back, from one more port. */
	pair_run(&p, 3 * SN_SEC);
	sn_sf_reset(((struct sn_conn *)sn_slab_at(&p.s[A].e->mptcp.conns, 0))->sf[1], SN_RST_NONE, p.now);
	pair_run(&p, 3 * SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), 3);
	pair_send(&p, A, 300000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	close_both();
}

SN_TEST(ndiffports_stays_below_the_limit_of_subflows)
{
	struct sn_pm_limits limits = {.subflows = 1, .add_addr_accepted = 8, .ndiffports = 4};
	start();
	sn_engine_limits_set(p.s[A].e, &limits);
	connected();
	CHECK_EQ(pair_subflows(&p, A), 2);
	close_both();
}

/* --- laminar --------------------------------------------------------------------------------------------------------- */

SN_TEST(announced_addresses_are_joined_from_laminar_endpoints_alone)
{
	start();
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_endpoint(&p, B, 2, SN_EP_SIGNAL);
	pair_endpoint(&p, A, 1, SN_EP_LAMINAR | SN_EP_BACKUP);
	connected();
	pair_run(&p, SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), 2); /* the way of the route over path 2 is not taken */
	CHECK_EQ(sf_info(A, 1).port, 1);
	CHECK_EQ(sf_info(A, 1).laddr_id, 2);
	CHECK(sf_info(A, 1).backup);
	CHECK_EQ(p.s[A].e->counters.EchoAddTx, 2);
	pair_endpoint(&p, A, 2, SN_EP_LAMINAR);
	pair_run(&p, SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), 3);
	CHECK_EQ(sf_info(A, 2).port, 2);
	close_both();
}

SN_TEST(laminar_endpoint_alone_opens_nothing)
{
	start();
	pair_endpoint(&p, A, 1, SN_EP_LAMINAR);
	connected();
	CHECK_EQ(p.seen_join, 0);
	close_both();
}

SN_TEST(fullmesh_endpoint_that_gave_up_joins_an_address_announced_later)
{
	start();
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_endpoint(&p, A, 1, SN_EP_FULLMESH);
	pair_connect(&p, 0);
	pair_run(&p, 15 * SN_MSEC);
	p.down[1] = true;
	pair_send(&p, A, 1000);
	pair_run(&p, 120 * SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), 1);
	CHECK_EQ(p.s[A].e->counters.MPJoinSynTx, SN_PATH_TRIES);
	p.down[1] = false;
	pair_run(&p, 60 * SN_SEC);
	CHECK_EQ(p.s[A].e->counters.MPJoinSynTx, SN_PATH_TRIES);
	struct sn_endpoint later = {.id = 9, .flags = SN_EP_SIGNAL, .tcp_port = 6000, .nic_port = 1};
	memcpy(later.addr, sn_net_port_addr(p.s[B].e, 1)->b, 16);
	CHECK_EQ(sn_engine_endpoint_add(p.s[B].e, &later, p.now), SN_OK);
	pair_run(&p, 20 * SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), 3); /* the one given up before has another chance as well */
	close_both();
}

SN_TEST(backup_endpoint_of_the_first_address_is_told_once_the_peer_is_known)
{
	start();
	pair_endpoint(&p, A, 0, SN_EP_SUBFLOW | SN_EP_BACKUP);
	connected();
	CHECK(sf_info(A, 0).our_backup && !sf_info(A, 0).peer_backup);
	CHECK(sf_info(B, 0).peer_backup && !sf_info(B, 0).our_backup);
	CHECK_EQ(p.s[A].e->counters.MPPrioTx, 1);
	CHECK_EQ(p.s[B].e->counters.MPPrioRx, 1);
	close_both();
}

/* --- events ---------------------------------------------------------------------------------------------------------- */

SN_TEST(events_tell_a_connection_from_begin_to_end)
{
	start();
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	connected();
	take(A);
	take(B);
	REQUIRE(ev_n[A] == 4 && ev_n[B] == 3);
	static const uint8_t want_a[] = {SN_PM_CREATED, SN_PM_ESTABLISHED, SN_PM_ANNOUNCED, SN_PM_SUB_ESTABLISHED};
	static const uint8_t want_b[] = {SN_PM_CREATED, SN_PM_ESTABLISHED, SN_PM_SUB_ESTABLISHED};
	for (uint32_t i = 0; i < 4; i++)
		CHECK_EQ(ev[A][i].kind, want_a[i]);
	for (uint32_t i = 0; i < 3; i++)
		CHECK_EQ(ev[B][i].kind, want_b[i]);
	struct sn_conn_info a = conn_info(A);
	struct sn_addr second = sn_addr_v4(0x0a000102u);
	CHECK_EQ(ev[A][0].token, a.token);
	CHECK_EQ(ev[A][0].rport, PEER_PORT);
	CHECK(!ev[A][0].server && ev[B][0].server);
	CHECK_EQ(ev[A][2].remote_id, 2);
	CHECK(memcmp(ev[A][2].raddr, second.b, 16) == 0);
	CHECK(memcmp(ev[A][3].raddr, second.b, 16) == 0);
	CHECK(ev[A][3].join && ev[A][3].remote_id == 2 && ev[A][3].port == 1);

	ev_n[A] = ev_n[B] = 0;
	struct sn_endpoint backup = {.id = 2, .flags = SN_EP_SIGNAL | SN_EP_BACKUP, .nic_port = 1};
	memcpy(backup.addr, second.b, 16);
	CHECK_EQ(sn_engine_endpoint_add(p.s[B].e, &backup, p.now), SN_OK);
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(sn_engine_endpoint_del(p.s[B].e, 2, p.now), SN_OK);
	pair_run(&p, SN_SEC);
	take(A);
	REQUIRE(event(A, SN_PM_SUB_PRIORITY) && event(A, SN_PM_REMOVED) && event(A, SN_PM_SUB_CLOSED));
	CHECK_EQ(event(A, SN_PM_SUB_PRIORITY)->backup, 1);
	CHECK_EQ(event(A, SN_PM_REMOVED)->remote_id, 2);
	CHECK_EQ(event(A, SN_PM_SUB_CLOSED)->error, 0);
	CHECK_EQ(ev_n[A], 3);

	ev_n[A] = ev_n[B] = 0;
	pair_op(&p, A, SN_OP_CLOSE);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, 2 * SN_SEC);
	take(A);
	take(B);
	REQUIRE(event(A, SN_PM_CLOSED) && event(B, SN_PM_CLOSED));
	CHECK_EQ(event(A, SN_PM_CLOSED)->token, a.token);
	CHECK_EQ(ev_lost[A] + ev_lost[B], 0);
	pair_close(&p);
}

static bool refuse_joins(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)q, (void)path, (void)tcp;
	return !(to == B && (seg->mp.present & SN_MP_BIT(SN_MP_JOIN)));
}

SN_TEST(join_that_does_not_come_about_is_told_with_its_error)
{
	start();
	p.filter = refuse_joins;
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	connected();
	pair_run(&p, 40 * SN_SEC);
	take(A);
	REQUIRE(event(A, SN_PM_SUB_CLOSED));
	CHECK_EQ(event(A, SN_PM_SUB_CLOSED)->error, -SN_E_TIMEDOUT);
	CHECK(!event(A, SN_PM_SUB_ESTABLISHED));
	close_both();
}

SN_TEST(plain_tcp_and_unwatched_engines_tell_nothing)
{
	start();
	sn_engine_watch(p.s[B].e, false);
	pair_connect(&p, SN_OPF_TCP);
	pair_run(&p, 100 * SN_MSEC);
	take(A);
	take(B);
	CHECK_EQ(ev_n[A] + ev_n[B], 0);
	CHECK_EQ(sn_engine_events_due(p.s[A].e), SN_TIME_NEVER);
	close_both();
}

/* --- single steps ---------------------------------------------------------------------------------------------------- */

static struct sn_pm_command step(int side, uint8_t op)
{
	struct sn_conn_info c = conn_info(side);
	return (struct sn_pm_command){.op = op, .conn = c.conn, .token = c.token};
}

static void from_path(struct sn_pm_command *cmd, int side, uint32_t path)
{
	memcpy(cmd->laddr, sn_net_port_addr(p.s[side].e, (uint16_t)path)->b, 16);
}

static void of_subflow(struct sn_pm_command *cmd, int side, uint32_t i)
{
	struct sn_subflow_info s = sf_info(side, i);
	cmd->subflow = s.id;
	cmd->lport = s.lport;
	cmd->rport = s.rport;
}

SN_TEST(policy_outside_opens_announces_and_closes)
{
	struct sn_pm_limits manual = {.subflows = 8, .add_addr_accepted = 0, .manual = 1};
	start();
	for (int i = 0; i < 2; i++)
		sn_engine_limits_set(p.s[i].e, &manual);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_endpoint(&p, A, 1, SN_EP_SUBFLOW);
	connected();
	CHECK_EQ(p.s[B].e->counters.AddAddrTx, 0);
	CHECK_EQ(p.seen_join, 0);

	struct sn_pm_command cmd = step(B, SN_PM_ANNOUNCE);
	from_path(&cmd, B, 1);
	CHECK_EQ(sn_engine_pm_command(p.s[B].e, &cmd, p.now), SN_OK);
	CHECK_EQ(sn_engine_pm_command(p.s[B].e, &cmd, p.now), SN_E_AGAIN);
	pair_run(&p, SN_SEC);
	take(A);
	const struct sn_pm_event *said = event(A, SN_PM_ANNOUNCED);
	REQUIRE(said);
	CHECK_EQ(p.s[B].e->counters.EchoAdd, 1);
	CHECK_EQ(p.seen_join, 0);

	cmd = step(A, SN_PM_OPEN);
	from_path(&cmd, A, 1);
	memcpy(cmd.raddr, said->raddr, 16);
	cmd.backup = 1;
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &cmd, p.now), SN_OK);
	pair_run(&p, SN_SEC);
	REQUIRE(pair_subflows(&p, A) == 2 && pair_subflows(&p, B) == 2);
	CHECK(sf_info(A, 1).established && sf_info(A, 1).backup && sf_info(B, 1).backup);
	CHECK_EQ(sf_info(A, 1).raddr_id, said->remote_id);

	cmd = step(A, SN_PM_PRIO);
	of_subflow(&cmd, A, 1);
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &cmd, p.now), SN_OK);
	pair_run(&p, 100 * SN_MSEC);
	CHECK(!sf_info(B, 1).backup);

	cmd = step(A, SN_PM_CLOSE);
	of_subflow(&cmd, A, 1);
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &cmd, p.now), SN_OK);
	pair_run(&p, 5 * SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), 1); /* and nobody opens it again */
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &cmd, p.now), SN_E_NOTCONN);

	cmd = step(B, SN_PM_WITHDRAW);
	from_path(&cmd, B, 1);
	CHECK_EQ(sn_engine_pm_command(p.s[B].e, &cmd, p.now), SN_OK);
	pair_run(&p, 100 * SN_MSEC);
	take(A);
	REQUIRE(event(A, SN_PM_REMOVED));
	CHECK_EQ(event(A, SN_PM_REMOVED)->remote_id, said->remote_id);
	pair_send(&p, A, 100000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	close_both();
}

SN_TEST(server_may_open_a_path_as_well)
{
	start();
	connected();
	struct sn_pm_command cmd = step(B, SN_PM_OPEN);
	struct sn_addr to = sn_addr_v4(0x0a000101u);
	from_path(&cmd, B, 1);
	memcpy(cmd.raddr, to.b, 16);
	cmd.rport = conn_info(A).lport;
	CHECK_EQ(sn_engine_pm_command(p.s[B].e, &cmd, p.now), SN_OK);
	pair_run(&p, SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), 2);
	CHECK_EQ(pair_subflows(&p, B), 2);
	CHECK(sf_info(B, 1).active && sf_info(B, 1).established && sf_info(A, 1).established);
	pair_send(&p, A, 300000);
	pair_send(&p, B, 300000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	close_both();
}

SN_TEST(senseless_steps_are_refused)
{
	start();
	connected();
	struct sn_pm_command cmd = step(A, SN_PM_OPEN), bad = cmd;
	struct sn_addr foreign = sn_addr_v4(0x0a090909u);
	bad.token ^= 1;
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &bad, p.now), SN_E_NOTCONN);
	bad = cmd;
	bad.conn ^= 1;
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &bad, p.now), SN_E_NOTCONN);
	bad = cmd;
	memcpy(bad.laddr, foreign.b, 16);
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &bad, p.now), SN_E_ADDRNOTAVAIL);
	bad.op = SN_PM_ANNOUNCE;
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &bad, p.now), SN_E_ADDRNOTAVAIL);
	bad.op = 0;
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &bad, p.now), SN_E_INVAL);
	bad = step(A, SN_PM_ANNOUNCE);
	from_path(&bad, A, 0); /* the first address */
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &bad, p.now), SN_E_INVAL);
	from_path(&bad, A, 1);
	bad.lport = 6000; /* nobody would take a join there */
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &bad, p.now), SN_E_INVAL);
	bad = step(A, SN_PM_CLOSE);
	bad.subflow = 200;
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &bad, p.now), SN_E_NOTCONN);
	/* Subflows until the table is full. */
	for (uint32_t i = 1; i < SN_MAX_SUBFLOWS; i++)
		CHECK_EQ(sn_engine_pm_command(p.s[A].e, &cmd, p.now), SN_OK);
	CHECK_EQ(sn_engine_pm_command(p.s[A].e, &cmd, p.now), SN_E_NOSPC);
	pair_run(&p, SN_SEC);
	close_both();
}

SN_TEST(queue_of_events_is_bounded_and_counts_what_it_lost)
{
	start();
	connected();
	take(A);
	ev_n[A] = 0;
	struct sn_pm_command cmd = step(A, SN_PM_PRIO);
	of_subflow(&cmd, A, 0);
	for (uint32_t i = 1; i <= SN_PM_EVENTS + 76; i++) {
		cmd.backup = i % 2;
		CHECK_EQ(sn_engine_pm_command(p.s[A].e, &cmd, p.now), SN_OK);
	}
	CHECK(sn_engine_events_ask(p.s[A].e, p.now)); /* at once: many wait */
	CHECK(!sn_engine_events_ask(p.s[A].e, p.now));
	CHECK(sn_engine_events_ask(p.s[A].e, p.now + 5 * SN_MSEC));
	take(A);
	CHECK_EQ(ev_n[A], SN_PM_EVENTS);
	CHECK_EQ(ev_lost[A], 76);
	CHECK_EQ(sn_engine_events_due(p.s[A].e), SN_TIME_NEVER);
	pair_run(&p, SN_SEC);
	close_both();
}

/* --- what a connection tells of itself -------------------------------------------------------------------------------- */

SN_TEST(both_ends_tell_the_same_of_a_connection)
{
	start();
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	connected();
	pair_send(&p, A, 500000);
	pair_run(&p, SN_SEC);
	struct sn_conn_info a = conn_info(A), b = conn_info(B);
	CHECK_EQ(a.token, b.remote_token);
	CHECK_EQ(b.token, a.remote_token);
	CHECK_EQ(a.snd_una, b.rcv_nxt);
	CHECK_EQ(a.write_seq, a.snd_nxt);
	CHECK_EQ(a.snd_nxt, a.snd_una);
	CHECK_EQ(b.snd_una, a.rcv_nxt);
	CHECK_EQ(a.snd_wnd, b.rcv_wnd);
	CHECK_EQ(a.bytes_acked, 501000);
	CHECK_EQ(b.bytes_received, 501000);
	CHECK(a.remote_key && b.remote_key && !a.fell_back && !a.csum);
	CHECK_EQ(b.add_addr_signal, 1);
	CHECK_EQ(a.add_addr_accepted, 1);
	CHECK(a.extra == 1 && b.extra == 1);
	CHECK_EQ(a.retransmits, 0);
	CHECK(a.last_sent_ns > SN_SEC && a.last_sent_ns < p.now && a.last_acked_ns > a.last_sent_ns);
	CHECK(b.last_recv_ns > a.last_sent_ns);
	struct sn_subflow_info s = sf_info(A, 0);
	CHECK_EQ(strcmp(s.cc, "cubic"), 0);
	CHECK_EQ(s.options & (SN_TCPI_TS | SN_TCPI_SACK | SN_TCPI_WSCALE), SN_TCPI_TS | SN_TCPI_SACK | SN_TCPI_WSCALE);
	CHECK(s.delivery_rate > 100000 && s.delivered > 100000);
	CHECK(s.snd_wnd > 0 && s.rcv_wnd > 0 && s.snd_wscale > 0);
	CHECK(!s.unacked && !s.lost && !s.sacked && !s.ca);
	close_both();
}

SN_TEST_MAIN()

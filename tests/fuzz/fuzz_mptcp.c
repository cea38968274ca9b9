/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection with several subflows, established before the input begins, and a peer that speaks the language and means
 * ill: mappings, acknowledgements, addresses, joins, priorities, failures and resets with every number right but the one
 * that the input bends. So nearly every step gets past the checks and into the state behind them.
 *
 * The data that the peer sends is a function of its data sequence number. As long as no step has mapped the same bytes
 * twice in different ways, what the application reads is compared with it: a hole, a shift or a byte too many is found,
 * not only a crash.
 *
 * Input: u8 settings (world.h), u8 role (1 the engine connected, 2.. bits 1-2: joins), then steps:
 *   0 data     u8 flow, u8 len, u8 how (dsn: new, gap, again, overlap, far; subflow: in order, ahead, behind), u8 form
 *   1 control  u8 flow, u8 what, u8 number, u8 bend
 *   2 join     u8 flow, u8 id, u8 bend (1 token, 2 HMAC, 4 stop after the SYN, 8 SYN/ACK of one that the engine opens)
 *   3 time     u8: 4 ms each, or with the top bit to the next deadline
 *   4 app      u8 what, u8 size
 *   5 policy   u8 what, u8 number
 *   6 fault    u8: 1 no buffers, 2 forward ring full
 *   7 plain    u8 flow, u8 TCP flags, s8 seq, s8 ack, u8 window
 * Other first bytes: modulo 8.
 */
#include "world.h"

enum { FLOWS = PEER_FLOWS, FIRST_DATA = 100 };

struct mind { /* of the peer */
	struct world w;
	bool client; /* the engine connected */
	bool honest; /* nothing was mapped twice in different ways */
	uint32_t iss[FLOWS];
	uint32_t begun;               /* flows that had a SYN, one bit each */
	uint64_t first_dsn, next_dsn; /* of our data: the first byte, the next that was never sent */
	uint64_t read;                /* bytes that the application was given */
	uint32_t conn;                /* the one that was there first */
};

static uint8_t pattern(uint64_t dsn) { return (uint8_t)(dsn * 7 + (dsn >> 8)); }

/* Numbers mean nothing any more: what comes is taken in the order of the subflow. */
static bool fell_back(const struct mind *m)
{
	const struct sn_conn *c = sn_slab_at(&m->w.e->mptcp.conns, m->conn & ((1u << SN_CONN_INDEX_BITS) - 1));

	return !c || c->id != m->conn || !c->mptcp || c->fell_back || c->failing || c->infinite_due;
}

static void received(struct world *w, const struct sn_cqe *c, const uint8_t *bytes)
{
	struct mind *m = SN_CONTAINER(w, struct mind, w);

	if (!m->honest || c->conn != m->conn || fell_back(m))
		return;
	for (uint32_t i = 0; i < c->len; i++)
		MUST(bytes[i] == pattern(m->first_dsn + m->read + i));
	m->read += c->len;
	MUST(m->first_dsn + m->read <= m->next_dsn);
}

/* One segment over flow `f` (the upper half: over the second port), `off` bytes beside the right sequence number. */
static void say(struct mind *m, uint32_t f, struct sn_wire_view *v, int32_t off, const uint8_t *data, uint32_t len)
{
	struct peer *p = &m->w.peer;
	struct peer_flow *flow = &p->flow[f];
	bool second = f >= PEER_PORTS;
	uint8_t frame[FRAME_MAX], *tcp = frame + SN_ETH_HDR + (p->v6[second] ? SN_IPV6_HDR : SN_IPV4_HDR);

	v->sport = (uint16_t)(PEER_PORT + f % PEER_PORTS);
	v->dport = m->client && flow->lport ? flow->lport : OUR_PORT;
	v->seq = flow->snd_nxt + (uint32_t)off;
	v->ack += flow->rcv_nxt;
	v->wnd = v->wnd ? v->wnd : 60000;
	v->opts |= SN_OPT_TS;
	v->ts_val = (uint32_t)(m->w.now / SN_MSEC);
	v->ts_ecr = flow->ts;
	int32_t n = sn_wire_emit_tcp(v, tcp);
	if (n < 0) { /* no room for the timestamps */
		v->opts &= (uint8_t)~SN_OPT_TS;
		n = sn_wire_emit_tcp(v, tcp);
	}
	if (n < 0)
		return;
	if (len)
		memcpy(tcp + n, data, len);
	if (off == 0)
		flow->snd_nxt += len + !!(v->flags & SN_TH_SYN) + !!(v->flags & SN_TH_FIN);
	rx(&m->w, frame, peer_ip(p, second, frame, (uint32_t)n + len, 0), second, 0);
}

/* A SYN begins the count of a subflow's bytes anew; the engine may see it otherwise where there is one already. */
static void begins(struct mind *m, uint32_t f)
{
	if (m->begun & 1u << f)
		m->honest = false;
	m->begun |= 1u << f;
	m->iss[f] = m->w.peer.flow[f].snd_nxt;
}

static void syn(struct mind *m, uint32_t f, struct sn_wire_view *v)
{
	begins(m, f);
	v->flags |= SN_TH_SYN;
	v->opts |= SN_OPT_SACK_OK;
	v->opts |= SN_OPT_WSCALE;
	v->wscale = 7;
	say(m, f, v, 0, NULL, 0);
	poll_engine(&m->w);
}

/* DSS with DATA_ACK and, with `len` or `fin`, a mapping for what stands at `off` of the subflow. */
static void dss(struct mind *m, uint32_t f, struct sn_wire_view *v, int32_t off, uint64_t dsn, uint32_t len)
{
	v->flags |= SN_TH_ACK;
	v->mp_present |= SN_MP_BIT(SN_MP_DSS);
	v->dss_flags |= SN_DSS_ACK | SN_DSS_ACK64;
	v->dss_ack += m->w.peer.engine_dsn;
	if (!len)
		return;
	v->dss_flags |= SN_DSS_MAP | SN_DSS_DSN64;
	v->dss_dsn = dsn;
	v->dss_ssn += m->w.peer.flow[f].snd_nxt + (uint32_t)off - m->iss[f];
	v->dss_len = (uint16_t)(v->dss_len + len);
}

static void checksum(const struct mind *m, struct sn_wire_view *v, const uint8_t *data, uint32_t len)
{
	if (!m->w.e->cfg.csum)
		return;
	v->dss_flags |= SN_DSS_HAS_CSUM;
	v->dss_csum = (uint16_t)(v->dss_csum + peer_dss_csum(v->dss_dsn, v->dss_ssn, v->dss_len, data, len));
}

static void fill(uint8_t *data, uint64_t dsn, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		data[i] = pattern(dsn + i);
}

/* --- before the input --------------------------------------------------------------------------------------------- */

static void ack(struct mind *m, uint32_t f)
{
	struct sn_wire_view v = {0};

	dss(m, f, &v, 0, 0, 0);
	say(m, f, &v, 0, NULL, 0);
	poll_engine(&m->w);
}

static void join_ack(struct mind *m, uint32_t f, uint8_t bend)
{
	struct peer *p = &m->w.peer;
	struct sn_wire_view v = {.flags = SN_TH_ACK, .mp_present = SN_MP_BIT(SN_MP_JOIN), .join_len = 24};
	uint8_t hmac[32];

	sn_mp_hmac_join(p->key, p->engine_key, p->flow[f].nonce, p->flow[f].engine_nonce, hmac);
	memcpy(v.join_hmac, hmac, sizeof v.join_hmac);
	v.join_hmac[19] ^= bend & 2;
	say(m, f, &v, 0, NULL, 0);
	poll_engine(&m->w);
}

static void join(struct mind *m, uint32_t f, uint8_t id, uint8_t bend)
{
	struct peer *p = &m->w.peer;
	struct sn_wire_view v = {.mp_present = SN_MP_BIT(SN_MP_JOIN),
				 .join_len = 12,
				 .join_addr_id = id,
				 .join_token = p->token ^ (bend & 1),
				 .join_nonce = 77u * f + 1,
				 .join_backup = bend >> 7};

	p->flow[f].nonce = v.join_nonce;
	p->flow[f].lport = OUR_PORT;
	syn(m, f, &v);
	if (bend & 4)
		return;
	join_ack(m, f, bend);
	ack(m, f);
}

/* The answer to a join that the engine opens. */
static void join_answer(struct mind *m, uint32_t f, uint8_t id, uint8_t bend)
{
	struct peer *p = &m->w.peer;
	struct sn_wire_view v = {.flags = SN_TH_ACK,
				 .mp_present = SN_MP_BIT(SN_MP_JOIN),
				 .join_len = 16,
				 .join_addr_id = id,
				 .join_nonce = 77u * f + 1,
				 .join_backup = bend >> 7};
	uint8_t hmac[32];

	p->flow[f].nonce = v.join_nonce;
	sn_mp_hmac_join(p->key, p->engine_key, v.join_nonce, p->flow[f].engine_nonce, hmac);
	v.join_hmac64 = sn_get64(hmac) ^ (bend & 2);
	syn(m, f, &v);
	ack(m, f);
}

static void add_addr(struct mind *m, uint32_t f, uint8_t id, uint8_t bend)
{
	struct peer *p = &m->w.peer;
	struct sn_addr addr = peer_addr(p, !(bend & 4), true);
	struct sn_mp_add_addr a = {.id = id, .has_port = bend >> 3 & 1, .port = PEER_PORT + 3};
	struct sn_wire_view v = {.flags = SN_TH_ACK,
				 .mp_present = SN_MP_BIT(SN_MP_ADD_ADDR),
				 .add_addr_id = id,
				 .add_addr_echo = bend & 1,
				 .add_addr_has_port = a.has_port};

	if (bend & 16)
		addr.b[15] ^= id; /* one of many */
	a.family = v.add_addr_family = sn_addr_is_v4(&addr) ? 4 : 6;
	a.port = v.add_addr_port = a.has_port ? PEER_PORT + 3 : 0;
	a.addr = addr;
	memcpy(v.add_addr, addr.b, sizeof v.add_addr);
	v.add_addr_hmac = sn_mp_hmac_add_addr(p->key, p->engine_key, &a) ^ (bend & 2);
	say(m, f, &v, 0, NULL, 0);
	poll_engine(&m->w);
}

static void open_server(struct mind *m, uint32_t joins)
{
	struct sn_wire_view hello = {.mp_present = SN_MP_BIT(SN_MP_CAPABLE), .capable_len = 4, .capable_version = 1};
	struct sn_wire_view keys = {.flags = SN_TH_ACK,
				    .mp_present = SN_MP_BIT(SN_MP_CAPABLE),
				    .capable_len = 20,
				    .capable_version = 1,
				    .capable_sender_key = m->w.peer.key};
	struct sn_wire_view first = {0};
	struct sn_sqe accept = {.op = SN_OP_ACCEPT};
	uint8_t data[FIRST_DATA];

	hello.capable_flags = keys.capable_flags = (uint8_t)(SN_MPC_HMAC_SHA256 | (m->w.e->cfg.csum ? SN_MPC_CSUM : 0));
	syn(m, 0, &hello);
	keys.capable_receiver_key = m->w.peer.engine_key;
	say(m, 0, &keys, 0, NULL, 0);
	poll_engine(&m->w);
	m->conn = accept.conn = m->w.conn;
	submit(&m->w, &accept);
	fill(data, m->next_dsn, FIRST_DATA);
	dss(m, 0, &first, 0, m->next_dsn, FIRST_DATA);
	checksum(m, &first, data, FIRST_DATA);
	m->next_dsn += FIRST_DATA;
	say(m, 0, &first, 0, data, FIRST_DATA);
	poll_engine(&m->w);
	for (uint32_t i = 0; i < joins; i++)
		join(m, i % 2 ? i : PEER_PORTS + i, (uint8_t)(i + 1), 0);
}

static void open_client(struct mind *m, uint32_t joins)
{
	struct sn_wire_view hello = {.flags = SN_TH_ACK,
				     .mp_present = SN_MP_BIT(SN_MP_CAPABLE),
				     .capable_len = 12,
				     .capable_version = 1,
				     .capable_sender_key = m->w.peer.key};
	struct sn_sqe connect = {.op = SN_OP_CONNECT, .port = PEER_PORT, .user = 2};
	struct sn_sqe send = {.op = SN_OP_SEND, .len = 10};
	struct sn_addr to = peer_addr(&m->w.peer, false, true);

	memcpy(connect.addr, to.b, 16);
	submit(&m->w, &connect);
	poll_engine(&m->w);
	hello.capable_flags = (uint8_t)(SN_MPC_HMAC_SHA256 | (m->w.e->cfg.csum ? SN_MPC_CSUM : 0));
	syn(m, 0, &hello);
	m->conn = send.conn = m->w.conn;
	submit(&m->w, &send); /* its MP_CAPABLE tells the key */
	poll_engine(&m->w);
	ack(m, 0);
	if (!joins)
		return;
	add_addr(m, 0, 2, 0);
	for (uint32_t i = 0; i < 4 && !m->w.peer.flow[PEER_PORTS].lport; i++) {
		m->w.now = m->w.next == SN_TIME_NEVER ? m->w.now : SN_MAX(m->w.now, m->w.next);
		poll_engine(&m->w);
	}
	join_answer(m, PEER_PORTS, 2, 0);
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

static void step_data(struct mind *m, struct input *in)
{
	uint32_t f = take8(in) % FLOWS, len = 1 + 6u * take8(in) % 1380;
	uint8_t how = take8(in), form = take8(in), data[1400];
	uint64_t dsn = m->next_dsn;
	struct sn_wire_view v = {0};
	int32_t off = 0;

	switch (how & 7) {
	case 1: dsn += 2000; break; /* a hole before it */
	case 2: dsn = m->w.peer.dsn; break;
	case 3: dsn -= SN_MIN((uint64_t)50, dsn - m->first_dsn); break;
	case 4: dsn = m->first_dsn; break;
	case 5: dsn += 1u << 20; break;        /* beyond the window */
	case 6: dsn += 0x8000000000ull; break; /* beyond everything */
	default: break;
	}
	switch (how >> 3 & 3) {
	case 1: off = (int32_t)len; break;
	case 2: off = -(int32_t)SN_MIN(len, m->w.peer.flow[f].snd_nxt - m->iss[f] - 1); break;
	case 3: off = -1; break;
	default: break;
	}
	/* The same place of a subflow with two meanings, or a mapping that says something else. */
	if (off || (form & 0x70))
		m->honest = false;
	fill(data, dsn, len);
	dss(m, f, &v, off, dsn, len);
	v.dss_ssn += form >> 4 & 1;
	v.dss_len = (uint16_t)(v.dss_len + (form & 0x20 ? len : 0));
	if (form & 1)
		v.dss_flags &= (uint8_t)~SN_DSS_ACK64;
	if (form & 2)
		v.dss_flags &= (uint8_t)~SN_DSS_DSN64;
	if (form & 4)
		v.flags |= SN_TH_PSH;
	if (form & 8) {
		v.dss_flags |= SN_DSS_FIN;
		v.dss_len++;
		m->honest = false;
	}
	checksum(m, &v, data, len);
	v.dss_csum = (uint16_t)(v.dss_csum + (form >> 6 & 1));
	if (form & 0x80) { /* as if the mapping had come before */
		v.mp_present = 0;
		m->honest = false;
	}
	if (dsn == m->next_dsn)
		m->next_dsn += len;
	else if ((int64_t)(dsn + len - m->next_dsn) > 0)
		m->next_dsn = dsn + len;
	say(m, f, &v, off, data, len);
}

static void step_control(struct mind *m, struct input *in)
{
	uint32_t f = take8(in) % FLOWS;
	uint8_t what = take8(in), number = take8(in), bend = take8(in);
	struct peer *p = &m->w.peer;
	struct sn_wire_view v = {.flags = SN_TH_ACK};
	uint8_t byte = 0;

	switch (what % 12) {
	case 0: add_addr(m, f, number, bend); return;
	case 1:
		v.mp_present = SN_MP_BIT(SN_MP_REMOVE_ADDR);
		v.remove_n = (uint8_t)(1 + bend % 4);
		for (uint32_t i = 0; i < v.remove_n; i++)
			v.remove_id[i] = (uint8_t)(number + i);
		break;
	case 2:
		v.mp_present = SN_MP_BIT(SN_MP_PRIO);
		v.prio_backup = number & 1;
		break;
	case 3:
		v.mp_present = SN_MP_BIT(SN_MP_FAIL);
		v.fail_dsn = (bend & 1 ? p->engine_dsn : m->next_dsn) - number;
		m->honest = false;
		break;
	case 4:
		v.mp_present = SN_MP_BIT(SN_MP_FASTCLOSE);
		v.fastclose_key = p->engine_key ^ (bend & 1);
		v.flags |= bend & 2 ? SN_TH_RST : 0;
		break;
	case 5:
		v.flags |= SN_TH_RST;
		v.mp_present = bend & 1 ? SN_MP_BIT(SN_MP_TCPRST) : 0;
		v.rst_reason = number;
		v.rst_flags = bend >> 1 & 1;
		break;
	case 6: /* DATA_FIN */
		dss(m, f, &v, 0, m->next_dsn + (bend & 1), 1);
		v.dss_flags |= SN_DSS_FIN;
		v.dss_ssn = 0;
		checksum(m, &v, NULL, 0);
		break;
	case 7: /* infinite mapping */
		dss(m, f, &v, 0, m->next_dsn, 1);
		v.dss_len = 0;
		fill(&byte, m->next_dsn, 1);
		m->honest = false;
		say(m, f, &v, 0, &byte, 1);
		return;
	case 8: /* DATA_ACK of the past or of the future */
		v.dss_ack = (uint64_t)(int64_t)(int8_t)number * (bend & 1 ? 1u << 20 : 1);
		v.ack = (uint32_t)(int32_t)(int8_t)(bend >> 1);
		v.wnd = bend & 2 ? 1 : 0;
		dss(m, f, &v, 0, 0, 0);
		break;
	case 9:
		v.mp_present = SN_MP_BIT(SN_MP_CAPABLE);
		v.capable_len = bend & 1 ? 22 : 20;
		v.capable_version = 1;
		v.capable_flags = SN_MPC_HMAC_SHA256;
		v.capable_sender_key = p->key ^ (bend >> 1 & 1);
		v.capable_receiver_key = p->engine_key;
		v.capable_data_len = number;
		break;
	case 10: /* the subflow ends */
		v.flags |= SN_TH_FIN;
		dss(m, f, &v, 0, 0, 0);
		break;
	default: /* joins are established: their third ACK again */ join_ack(m, f, bend); return;
	}
	say(m, f, &v, 0, NULL, 0);
}

static void step_app(struct mind *m, struct input *in)
{
	static const uint8_t ops[] = {SN_OP_SEND, SN_OP_RELEASE, SN_OP_SHUTDOWN, SN_OP_CLOSE, SN_OP_ABORT, SN_OP_SEND};
	uint8_t what = take8(in), size = take8(in);
	struct world *w = &m->w;
	struct sn_sqe s = {.op = ops[what % sizeof ops], .conn = m->conn, .len = 1 + 60u * size, .user = 1};

	if (s.op == SN_OP_RELEASE) {
		if (!w->nslots)
			return;
		s.off = w->slots[--w->nslots];
		s.len = w->slot_len[w->nslots];
	}
	submit(w, &s);
}

static void step_policy(struct mind *m, struct input *in)
{
	uint8_t what = take8(in), number = take8(in);
	struct world *w = &m->w;
	struct sn_addr ours = peer_addr(&w->peer, number & 1, false), theirs = peer_addr(&w->peer, number & 2, true);
	struct sn_endpoint ep = {.id = (uint8_t)(1 + number % 5), .flags = what >> 3};
	struct sn_pm_limits limits = {
		.subflows = number % 8, .add_addr_accepted = number % 5, .ndiffports = number % 4};
	struct sn_pm_command c = {.op = (uint8_t)(SN_PM_OPEN + number % 5),
				  .conn = m->conn,
				  .token = w->peer.token,
				  .subflow = number >> 4,
				  .backup = what >> 7};
	struct sn_subflow_info info[SN_MAX_SUBFLOWS];

	memcpy(ep.addr, ours.b, 16);
	memcpy(c.laddr, ours.b, 16);
	memcpy(c.raddr, theirs.b, 16);
	switch (what % 5) {
	case 0: (void)sn_engine_endpoint_add(w->e, &ep, w->now); break;
	case 1: (void)sn_engine_endpoint_del(w->e, ep.id, w->now); break;
	case 2:
		limits.manual = number >> 7;
		sn_engine_limits_set(w->e, &limits);
		break;
	case 3:
		c.token = m->w.peer.token;
		for (uint32_t i = sn_engine_subflow_info(w->e, m->conn, info, SN_MAX_SUBFLOWS); i-- > 0;)
			if (info[i].id == c.subflow) {
				c.lport = info[i].lport;
				c.rport = info[i].rport;
			}
		(void)sn_engine_pm_command(w->e, &c, w->now);
		break;
	default: sn_engine_watch(w->e, number & 1); break;
	}
}

static void step_plain(struct mind *m, struct input *in)
{
	uint32_t f = take8(in) % FLOWS;
	struct sn_wire_view v = {.flags = take8(in)};
	int8_t seq = (int8_t)take8(in);

	v.ack = (uint32_t)(int32_t)(int8_t)take8(in);
	v.wnd = take8(in);
	if (v.flags & SN_TH_SYN)
		begins(m, f);
	say(m, f, &v, seq, NULL, 0);
}

static void step(struct mind *m, struct input *in)
{
	struct world *w = &m->w;

	switch (take8(in) % 8) {
	case 0: step_data(m, in); break;
	case 1: step_control(m, in); break;
	case 2: {
		uint32_t f = take8(in) % FLOWS;
		uint8_t id = take8(in), bend = take8(in);
		if (bend & 8)
			join_answer(m, f, id, bend);
		else
			join(m, f, id, bend);
		break;
	}
	case 3: {
		uint8_t ms = take8(in);
		if (!(ms & 0x80))
			w->now += ms * 4 * SN_MSEC;
		else if (w->next != SN_TIME_NEVER)
			w->now = SN_MAX(w->now, w->next);
		break;
	}
	case 4: step_app(m, in); break;
	case 5: step_policy(m, in); break;
	case 6: {
		uint8_t bits = take8(in);
		w->pool_empty = bits & 1;
		w->ring_full = bits & 2;
		break;
	}
	default: step_plain(m, in); break;
	}
	poll_engine(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 4096)
		return 0;
	struct mind *m = calloc(1, sizeof *m);
	struct sn_pool pool = {.alloc = pool_alloc, .free = pool_free, .ctx = &m->w, .avail = pool_avail};
	struct input in = {data, data + size};
	void *memory, *shared;

	uint8_t settings = take8(&in), role = take8(&in);
	peer_init(&m->w.peer, settings & 32, settings & 64);
	for (uint32_t i = 0; i < FLOWS; i++)
		m->iss[i] = m->w.peer.flow[i].snd_nxt;
	m->first_dsn = m->next_dsn = m->w.peer.dsn;
	m->honest = true;
	m->client = role & 1;
	m->w.received = received;
	start(&m->w, &pool, settings, &memory, &shared);
	if (m->client)
		open_client(m, role >> 1 & 3);
	else
		open_server(m, role >> 1 & 3);
	while (in.p < in.end)
		step(m, &in);
	report(&m->w);
	finish(&m->w);
	free(memory);
	free(shared);
	free(m);
	return 0;
}

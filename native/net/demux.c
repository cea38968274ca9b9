/* SPDX-License-Identifier: Apache-2.0
 *
 * Demultiplexer: one hash table holds our flows and those known to belong to other workers (forward entries). Forward
 * entries come from a fixed array; when it is full, one among a few neighbours is replaced: the oldest of which only SYNs
 * came, or one unused for FOREIGN_IDLE. So a flood of joins that never go on pushes out nothing but its own entries.
 */
#include "engine/engine.h"
#include "net/siphash.h"
#include "wire/checksum.h"
#include "wire/ip.h"

enum {
	FOREIGN_MIN = 256,
	FOREIGN_MAX = 65536,
	FOREIGN_LOOK = 16 /* entries looked at for the oldest */
};
#define ASK_QUIET    0x80000000u    /* in sn_buf.seq of a frame whose owner is looked for: no RST if there is none */
#define FOREIGN_IDLE (120 * SN_SEC) /* a live entry unused for so long may go */
#define FOREIGN_HOLD (2 * SN_SEC)   /* a SYN does not change the owner of a flow in use; the second repetition does */

static uint32_t power_of_two(uint32_t n)
{
	uint32_t p = 1;
	while (p < n && p < 1u << 30)
		p <<= 1;
	return p;
}

bool sn_demux_init(struct sn_engine *e)
{
	struct sn_net *n = &e->net;
	/* Twice the subflows: TIME_WAIT keeps flows beyond the life of a subflow. */
	uint32_t flows = e->cfg.max_subflows * 2;
	uint32_t buckets = power_of_two(flows);

	n->bucket = sn_region_take(&e->region, (size_t)buckets * sizeof *n->bucket);
	n->bucket_mask = buckets - 1;
	bool nodes = sn_slab_init(&n->nodes, &e->region, flows, sizeof(struct sn_net_flow));
	n->foreign_count =
		power_of_two(SN_MIN(SN_MAX(e->cfg.max_subflows, (uint32_t)FOREIGN_MIN), (uint32_t)FOREIGN_MAX));
	n->foreign = sn_region_take(&e->region, (size_t)n->foreign_count * sizeof *n->foreign);
	return n->bucket && nodes && n->foreign;
}

/* SipHash-1-3 over three words. The prefix of our own address is left out: it adds nothing that a peer could vary. */
uint64_t sn_demux_hash(const struct sn_engine *e, const struct sn_flow *f)
{
	uint64_t k0, k1, m[3];

	memcpy(&k0, e->cfg.secret, 8);
	memcpy(&k1, e->cfg.secret + 8, 8);
	memcpy(m, f->remote.b, 16);
	m[2] = (uint64_t)sn_get32(f->local.b + 12) << 32 | (uint32_t)f->lport << 16 | f->rport;
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull, k0 ^ 0x6c7967656e657261ull,
			 k1 ^ 0x7465646279746573ull};
	for (int i = 0; i < 3; i++) {
		v[3] ^= m[i];
		sn_sip_round(v);
		v[0] ^= m[i];
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sn_sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct sn_net_flow *sn_demux_lookup(const struct sn_net *n, const struct sn_flow *flow, uint64_t hash)
{
	struct sn_net_flow *f = n->bucket[hash & n->bucket_mask];

	while (f && !sn_flow_eq(&f->flow, flow))
		f = f->next;
	return f;
}

static void unlink_flow(struct sn_net *n, struct sn_net_flow *flow, uint64_t hash)
{
	struct sn_net_flow **at = &n->bucket[hash & n->bucket_mask];

	while (*at && *at != flow)
		at = &(*at)->next;
	if (*at)
		*at = flow->next;
}

static void link_flow(struct sn_net *n, struct sn_net_flow *flow, uint64_t hash)
{
	struct sn_net_flow **head = &n->bucket[hash & n->bucket_mask];

	flow->next = *head;
	*head = flow;
}

enum sn_err sn_net_flow_insert(struct sn_engine *e, const struct sn_flow *flow, struct sn_tcp *tcp)
{
	struct sn_net *n = &e->net;
	uint64_t hash = sn_demux_hash(e, flow);
	struct sn_net_flow *f = sn_demux_lookup(n, flow, hash);

	if (f && f->tcp)
		return SN_E_ADDRINUSE;
	struct sn_net_flow *node = sn_slab_take(&n->nodes);
	if (!node)
		return SN_E_NOMEM;
	if (f) { /* was another worker's once; the 4-tuple is used anew */
		unlink_flow(n, f, hash);
		memset(f, 0, sizeof *f);
	}
	node->flow = *flow;
	node->tcp = tcp;
	node->owner = (uint16_t)e->cfg.worker;
	node->hash = hash;
	link_flow(n, node, hash);
	if (sn_net_frame_sane(n, flow))
		sn_recent_learn(n, node);
	return SN_OK;
}

void sn_net_flow_remove(struct sn_engine *e, const struct sn_flow *flow)
{
	struct sn_net_recent *r = sn_recent_find(&e->net, flow);
	struct sn_net_flow *f = r ? r->flow : sn_demux_lookup(&e->net, flow, sn_demux_hash(e, flow));

	if (!f || !f->tcp)
		return;
	unlink_flow(&e->net, f, f->hash);
	if (r)
		r->tcp = NULL;
	sn_slab_put(&e->net.nodes, f);
}

uint32_t sn_net_flow_tag(struct sn_engine *e, const struct sn_flow *flow)
{
	struct sn_net_recent *r = sn_recent_find(&e->net, flow);

	/* The bucket is chosen by the lower half: whoever learns the tag learns nothing about that. */
	return (uint32_t)((r ? r->flow->hash : sn_demux_hash(e, flow)) >> 32);
}

struct sn_tcp *sn_net_flow_find(const struct sn_engine *e, const struct sn_flow *flow)
{
	struct sn_net_flow *f = sn_demux_lookup(&e->net, flow, sn_demux_hash(e, flow));

	return f ? f->tcp : NULL;
}

/* The entry that a new one may take the place of, or NULL. */
static struct sn_net_flow *replaceable(struct sn_net *n, sn_time now)
{
	struct sn_net_flow *best = NULL;
	uint32_t mask = n->foreign_count - 1;

	for (uint32_t i = 0; i < FOREIGN_LOOK; i++) {
		struct sn_net_flow *f = &n->foreign[(n->foreign_next + i) & mask];
		if (!f->last_used) /* never used */
			return f;
		if (f->live && now - f->last_used < FOREIGN_IDLE)
			continue;
		if (!best || f->last_used < best->last_used)
			best = f;
	}
	return best;
}

bool sn_net_forward_learn(struct sn_engine *e, const struct sn_flow *flow, uint32_t owner, sn_time now)
{
	struct sn_net *n = &e->net;
	uint64_t hash = sn_demux_hash(e, flow);
	struct sn_net_flow *f = sn_demux_lookup(n, flow, hash);

	if (f && f->tcp)
		return true;
	if (!f) {
		f = replaceable(n, now);
		if (!f) {
			n->foreign_next += FOREIGN_LOOK;
			e->counters.forward_table_full++;
			return false;
		}
		n->foreign_next = (uint32_t)(f - n->foreign) + 1;
		if (f->last_used)
			unlink_flow(n, f, sn_demux_hash(e, &f->flow));
		f->flow = *flow;
		link_flow(n, f, hash);
	}
	f->live = false;
	f->owner = (uint16_t)owner;
	f->last_used = SN_MAX(now, 1u);
	return true;
}

enum sn_err sn_net_port_choose(struct sn_engine *e, struct sn_flow *flow)
{
	struct sn_net *n = &e->net;
	uint32_t mask = e->cfg.port_count - 1u;

	/* F and G(local, remote, remote port, secret) are two parts of one hash: the local port does not take part. */
	flow->lport = 0;
	uint64_t hash = sn_demux_hash(e, flow);
	uint32_t offset = (uint32_t)(hash >> 32), *next = &n->port_next[hash & (SN_PORT_COUNTERS - 1)];
	for (uint32_t i = 0; i <= mask; i++) {
		flow->lport = (uint16_t)(e->cfg.port_base + ((offset + (*next)++) & mask));
		if (!sn_net_flow_find(e, flow) && !sn_mptcp_listens(e, flow->lport))
			return SN_OK;
	}
	return SN_E_ADDRNOTAVAIL;
}

/* Hands a frame to the worker it belongs to. A frame that was forwarded once ends here: two workers that disagree about
 * an owner must not play ping-pong. */
static void forward(struct sn_engine *e, struct sn_buf *b, uint32_t owner)
{
	if ((b->flags & SN_BUF_FORWARDED) || owner == e->cfg.worker || owner >= e->cfg.workers) {
		e->counters.tcp_no_flow++;
		sn_buf_free(b);
		return;
	}
	e->counters.misdirected++;
	b->flags |= SN_BUF_FORWARDED | SN_BUF_CSUM_GOOD;
	if (!e->cfg.hooks.forward || !e->cfg.hooks.forward(e->cfg.hooks.ctx, owner, b)) {
		e->counters.forward_full++;
		sn_buf_free(b);
	}
}

/* No flow here, and nothing says whose it could be: with a queue chosen by hash, a port whose ring is full may put frames
 * into another worker's (af_packet does), and a RST would end a connection that lives. So the others are asked in turn;
 * whoever has the flow keeps the frame, the last one answers (*quiet: does not). False: everybody was asked. */
static bool ask_others(struct sn_engine *e, struct sn_buf *b, bool *quiet, sn_time now)
{
	uint32_t left = e->cfg.workers - 2u, next = e->cfg.worker + 1u;

	if (b->flags & SN_BUF_FORWARDED) {
		if (!(b->flags & SN_BUF_ASKED))
			return false;
		*quiet |= b->seq & ASK_QUIET;
		left = (b->seq & ~ASK_QUIET) - 1;
		if (left == UINT32_MAX)
			return false;
		/* Nobody passes on what is lent to him. */
		if (b->pool != e->cfg.pool && !(b = sn_net_bring_home(e, b)))
			return true;
		b->flags &= (uint8_t)~SN_BUF_FORWARDED;
	} else if (e->cfg.workers < 2) {
		return false;
	} else if (!sn_net_limit_take(&e->net.ask_limit, SN_ASK_RATE, now)) {
		e->counters.tcp_no_flow++;
		sn_buf_free(b);
		return true;
	}
	b->flags |= SN_BUF_ASKED;
	b->seq = left | (*quiet ? ASK_QUIET : 0);
	forward(e, b, next < e->cfg.workers ? next : 0);
	return true;
}

bool sn_demux_elsewhere(struct sn_engine *e, struct sn_buf *b, const struct sn_flow *flow, sn_time now)
{
	int32_t block = sn_engine_port_owner(e, flow->lport);
	const struct sn_net_flow *f = sn_demux_lookup(&e->net, flow, sn_demux_hash(e, flow));
	uint32_t owner = block >= 0 ? (uint32_t)block : f ? f->owner : e->cfg.worker;
	bool quiet = true;

	/* A frame that asks its way comes by the owner; nobody but the first may know who that is. */
	if (owner == e->cfg.worker || (b->flags & SN_BUF_FORWARDED))
		return block < 0 && ask_others(e, b, &quiet, now);
	forward(e, b, owner);
	return true;
}

/* Asks who wants a SYN that no flow and no port block claims; answers RST if nobody does. */
static enum sn_syn_verdict offer_syn(struct sn_engine *e, uint16_t port, const struct sn_flow *flow,
				     const struct sn_tcp_seg *seg, uint32_t *owner, sn_time now)
{
	uint8_t opts[SN_TCP_OPT_MAX];
	uint32_t opt_len = 0;
	enum sn_syn_verdict v = sn_mptcp_syn(e, port, flow, seg, owner, opts, &opt_len, now);

	if (v == SN_SYN_REFUSE) {
		e->counters.tcp_no_flow++;
		sn_net_send_rst(e, port, flow, seg, opts, opt_len, now);
	}
	return v;
}

static void new_flow(struct sn_engine *e, struct sn_buf *b, const struct sn_flow *flow, const struct sn_tcp_seg *seg,
		     sn_time now)
{
	uint32_t owner = 0;

	if (offer_syn(e, b->port, flow, seg, &owner, now) != SN_SYN_FORWARD) {
		sn_buf_free(b);
		return;
	}
	if (!(b->flags & SN_BUF_FORWARDED) && owner < e->cfg.workers)
		sn_net_forward_learn(e, flow, owner, now);
	forward(e, b, owner);
}

void sn_net_tcp_syn(struct sn_engine *e, uint16_t port, const struct sn_flow *flow, const struct sn_tcp_seg *seg,
		    struct sn_buf *b, sn_time now)
{
	uint32_t owner = 0;

	/* The buffer is no whole frame any more. Another worker's join is made good by the peer's next SYN. */
	(void)offer_syn(e, port, flow, seg, &owner, now);
	sn_buf_free(b);
}

/* The whole segment with its pseudo header sums up to all ones. */
static bool checksum_good(const struct sn_ip *ip, const uint8_t *tcp, uint32_t len)
{
	return sn_csum_fold(sn_csum_partial(tcp, len, sn_csum_pseudo(&ip->src, &ip->dst, SN_IP_TCP, len))) == 0xffff;
}

void sn_demux_tcp(struct sn_engine *e, struct sn_buf *b, const struct sn_ip *ip, uint8_t *tcp, sn_time now)
{
	struct sn_tcp_seg seg;
	uint32_t len = ip->total_len - ip->hdr_len;

	if (SN_UNLIKELY(sn_tcp_parse(&seg, tcp, len) != SN_OK)) {
		e->counters.rx_drop_tcp++;
		sn_buf_free(b);
		return;
	}
	struct sn_flow flow = {.local = ip->dst, .remote = ip->src, .lport = seg.dport, .rport = seg.sport};
	uint64_t hash = sn_demux_hash(e, &flow);
	/* The checksum takes long enough for the bucket to arrive. */
	sn_demux_prefetch(&e->net, hash);
	if (SN_UNLIKELY(!(b->flags & SN_BUF_CSUM_GOOD) && !checksum_good(ip, tcp, len))) {
		e->counters.rx_drop_tcp++;
		sn_buf_free(b);
		return;
	}
	e->counters.tcp_rx_segments++;
	e->counters.MPOptBad += seg.mp.bad;

	struct sn_net_flow *f = sn_demux_lookup(&e->net, &flow, hash);
	if (SN_LIKELY(f && f->tcp)) {
		sn_recent_learn(&e->net, f);
		b->data = tcp + seg.hdr_len;
		b->len = seg.len;
		e->tcp_ops->input(f->tcp, &seg, b, now);
		return;
	}
	int32_t block = sn_engine_port_owner(e, flow.lport);
	if (block >= 0 && (uint32_t)block != e->cfg.worker) {
		forward(e, b, (uint32_t)block);
		return;
	}
	/* A fresh SYN is decided anew: the 4-tuple may have changed hands. Not while the flow is in use: its owner knows
	 * what to say to a SYN in the middle of it. */
	if ((seg.flags & (SN_TH_SYN | SN_TH_ACK | SN_TH_RST | SN_TH_FIN)) == SN_TH_SYN) {
		if (f && f->live && now - f->last_used < FOREIGN_HOLD) {
			forward(e, b, f->owner);
			return;
		}
		if (seg.opts & SN_OPT_FASTOPEN)
			seg.early = tcp + seg.hdr_len;
		new_flow(e, b, &flow, &seg, now);
		return;
	}
	if (f) {
		f->live = !(seg.flags & (SN_TH_FIN | SN_TH_RST));
		f->last_used = SN_MAX(now, 1u);
		forward(e, b, f->owner);
		return;
	}
	bool quiet = false;
	if (e->mptcp.cookies_until > now && (seg.flags & (SN_TH_SYN | SN_TH_ACK | SN_TH_RST)) == SN_TH_ACK) {
		struct sn_tcp *t;
		switch (sn_mptcp_ack(e, b->port, &flow, &seg, &t, now)) {
		case SN_ACK_OPENED:
			b->data = tcp + seg.hdr_len;
			b->len = seg.len;
			e->tcp_ops->input(t, &seg, b, now);
			return;
		case SN_ACK_DROPPED: sn_buf_free(b); return;
		case SN_ACK_QUIET: quiet = true; break;
		case SN_ACK_STRANGE: break;
		}
	}
	if (block < 0 && ask_others(e, b, &quiet, now))
		return;
	e->counters.tcp_no_flow++;
	if (quiet) {
		sn_buf_free(b);
		return;
	}
	sn_net_send_rst(e, b->port, &flow, &seg, NULL, 0, now);
	sn_buf_free(b);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Network layer of one worker: ports with an address of either family, neighbours (RFC 826, RFC 4861), routes, IPv4
 * (RFC 791) and IPv6 (RFC 8200), echo (RFC 792, RFC 4443), and the demultiplexer that finds the TCP record of a segment
 * or the worker that owns it.
 *
 * An incoming frame of a flow that was met lately goes to ops->input at once (recent.c). Any other: sn_net_rx_frame ->
 * ethernet -> arp | ip -> icmp, nd | tcp checksum and parse -> demux:
 *   1. our flow table hit            -> ops->input
 *   2. forward table or port block of another worker -> hooks.forward (counted `misdirected`)
 *   3. SYN                           -> sn_mptcp_syn (listener, MP_JOIN by token; may answer "forward to worker w")
 *   4. ACK of a SYN cookie           -> sn_mptcp_ack
 *   5. otherwise                     -> RST (RFC 9293 3.10.7.1), rate limited
 */
#ifndef SN_NET_H
#define SN_NET_H

#include "engine/slab.h"
#include "engine/wheel.h"
#include "sn_abi.h"
#include "sn_base.h"
#include "sn_buf.h"
#include "sn_tcp_ops.h"

struct sn_engine;

struct sn_net_port_cfg {
	uint8_t mac[6];
	/* One address of a family, any: none of it. There must be one. */
	struct sn_addr addr;
	uint8_t prefix;          /* bits of the IPv4 network (of 32) */
	struct sn_addr gateway;  /* any: none */
	struct sn_addr addr6;    /* global, not link-local; needs an mtu of 1280 (RFC 8200 5) */
	uint8_t prefix6;         /* bits of the IPv6 network (of 128) */
	struct sn_addr gateway6; /* global or link-local; any: none */
	uint16_t mtu;            /* L3 bytes */
	bool tx_csum;            /* the port fills in IP and TCP checksums: both fields leave here as zero, without
				 * SN_TX_CSUM_DONE */
	uint8_t held; /* families whose address is used only when SN_ADDR_READY says so; bits by enum sn_family */
	/* Networks beyond the link, by enum sn_family; each `via` is on the link, or link-local. */
	uint32_t routes[SN_FAMILIES];
	struct sn_route route[SN_FAMILIES][SN_ROUTES];
	uint32_t unit_max; /* payload of the units that the port takes (sn_buf.h), bytes; 0: single segments only */
};

/* An entry of the flow table: what stands behind a 4-tuple. */
struct sn_net_flow {
	struct sn_net_flow *next; /* hash chain */
	struct sn_flow flow;
	uint16_t owner;
	bool live;          /* forward entries: more than a SYN came, no FIN or RST yet */
	struct sn_tcp *tcp; /* NULL: the flow belongs to worker `owner` (forward table) */
	union {
		sn_time last_used; /* forward entries: for ageing */
		uint64_t hash;     /* own flows */
	};
};
_Static_assert(sizeof(struct sn_net_flow) == 64, "one cache line");

#include "net/net_internal.h" /* struct sn_net, struct sn_net_port */

/* Lays tables out in the engine's region; false if it is too small. */
bool sn_net_init(struct sn_engine *e);
int32_t sn_net_port_add(struct sn_engine *e, const struct sn_net_port_cfg *cfg);

/* The configuration a port was added with. */
void sn_net_port_cfg_get(const struct sn_engine *e, uint16_t port, struct sn_net_port_cfg *out);

/* A burst of received frames; ownership passes. */
void sn_net_rx(struct sn_engine *e, struct sn_buf **v, uint32_t n, sn_time now);

/* Sends one TCP segment of a flow: `tx->hdr` holds the TCP header and options (checksum field zero), payload references
 * are set. Prepends IP and Ethernet, computes checksums if the port does not, resolves the neighbour (queues a bounded
 * number of frames while unresolved). Takes tx->hdr in every case. payload_sum: ones' complement sum of the payload if the
 * caller has it already, or -1. */
void sn_net_send_tcp(struct sn_engine *e, uint16_t port, const struct sn_addr *src, const struct sn_addr *dst,
		     struct sn_tx *tx, int32_t payload_sum, sn_time now);

/* The same of a unit (tx->segs is set). Its checksums are left to who cuts it. */
void sn_net_send_unit(struct sn_engine *e, uint16_t port, const struct sn_addr *src, const struct sn_addr *dst,
		      struct sn_tx *tx, sn_time now);

/* Chooses the port for a destination among those with an address of its family: the one whose link or route has the
 * longest prefix, last a gateway; among equals the first. `src` (any: free) restricts the choice to the port that has this
 * address. Returns the index, SN_E_NETUNREACH, or SN_E_ADDRNOTAVAIL when src is not ours or of the other family. */
int32_t sn_net_route(const struct sn_engine *e, const struct sn_addr *src, const struct sn_addr *dst);
/* The port's address of dst's family, which a packet to dst leaves with (RFC 6724 has no choice left: one address of a
 * family); any: it has none. */
const struct sn_addr *sn_net_source(const struct sn_engine *e, uint16_t port, const struct sn_addr *dst);
/* The port's IPv4 address, or the IPv6 one if there is no other. */
const struct sn_addr *sn_net_port_addr(const struct sn_engine *e, uint16_t port);
uint16_t sn_net_port_mtu(const struct sn_engine *e, uint16_t port);
uint32_t sn_net_port_count(const struct sn_engine *e);
/* What the path from a port to a destination carries, L3 bytes: the port's MTU, or less as far as is known. */
uint16_t sn_net_pmtu(const struct sn_engine *e, uint16_t port, const struct sn_addr *dst, sn_time now);
/* It carries `mtu` bytes: new flows begin with that. */
void sn_net_pmtu_learn(struct sn_engine *e, uint16_t port, const struct sn_addr *dst, uint16_t mtu, sn_time now);
/* Next hop from a port to a destination; false: there is none. */
/* Next hop from a port to a destination by the longest prefix; false: there is none. */
bool sn_net_next_hop(const struct sn_engine *e, uint16_t port, const struct sn_addr *dst, struct sn_addr *hop);
/* May somebody who may be made up be answered? Yes if the MAC of the next hop is known; the others, for each of which the
 * neighbour table would have to find room, at SN_STRANGER_RATE. */
bool sn_net_may_answer(struct sn_engine *e, uint16_t port, const struct sn_addr *dst, sn_time now);
/* Index of the port that has this address, or -1. */
int32_t sn_net_addr_port(const struct sn_engine *e, const struct sn_addr *addr);
/* Number of one of our addresses, below SN_MAX_PORTS * SN_FAMILIES: port * SN_FAMILIES + family; or -1. */
int32_t sn_net_addr_slot(const struct sn_engine *e, const struct sn_addr *addr);

/* A SYN that matches no flow (or one whose TIME_WAIT record just gave way): sn_mptcp_syn and what follows from it.
 * Takes the buffer. */
void sn_net_tcp_syn(struct sn_engine *e, uint16_t port, const struct sn_flow *flow, const struct sn_tcp_seg *seg,
		    struct sn_buf *b, sn_time now);

/* The control process: what it is told (nothing before it watches), and what it orders (abi/32_neigh.h). SN_E_INVAL: the
 * order makes no sense here. */
void sn_net_news_watch(struct sn_engine *e);
uint32_t sn_net_news_take(struct sn_engine *e, struct sn_neigh_news *out, uint32_t n);
/* When they should be taken, SN_TIME_NEVER: there are none; ask says so once, then not for a while. */
sn_time sn_net_news_due(const struct sn_engine *e);
bool sn_net_news_ask(struct sn_engine *e, sn_time now);
enum sn_err sn_net_order(struct sn_engine *e, const struct sn_neigh_order *o, sn_time now);

/* Flow table. insert fails with SN_E_ADDRINUSE when the 4-tuple exists, SN_E_NOMEM when the table is full. */
enum sn_err sn_net_flow_insert(struct sn_engine *e, const struct sn_flow *flow, struct sn_tcp *tcp);
void sn_net_flow_remove(struct sn_engine *e, const struct sn_flow *flow);
/* An unpredictable number of a 4-tuple, always the same while the secret is. */
uint32_t sn_net_flow_tag(struct sn_engine *e, const struct sn_flow *flow);
struct sn_tcp *sn_net_flow_find(const struct sn_engine *e, const struct sn_flow *flow);
/* Remembers that segments of this flow go to another worker. Bounded: an entry that no more than a SYN was seen of makes
 * room, or one unused for long; false if there is none. */
bool sn_net_forward_learn(struct sn_engine *e, const struct sn_flow *flow, uint32_t owner, sn_time now);

/* Picks a free local port of this worker's block for a flow (RFC 6056 algorithm 4) and writes flow->lport. A port that
 * somebody listens on is not free.
 * SN_E_ADDRNOTAVAIL when all are taken. */
enum sn_err sn_net_port_choose(struct sn_engine *e, struct sn_flow *flow);

/* Answers a segment without a connection with RST; `opts` (already padded) may carry MP_TCPRST. */
void sn_net_send_rst(struct sn_engine *e, uint16_t port, const struct sn_flow *flow, const struct sn_tcp_seg *seg,
		     const uint8_t *opts, uint32_t opt_len, sn_time now);

#endif

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
 *   4. otherwise                     -> RST (RFC 9293 3.10.7.1), rate limited
 */
#ifndef SN_NET_H
#define SN_NET_H

#include "engine/slab.h"
#include "engine/wheel.h"
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

/* Chooses the port for a destination among those with an address of its family: on-link first, then a port with a
 * gateway, in index order. `src` (any: free) restricts the choice to the port that has this address. Returns the index,
 * SN_E_NETUNREACH, or SN_E_ADDRNOTAVAIL when src is not ours or of the other family. */
int32_t sn_net_route(const struct sn_engine *e, const struct sn_addr *src, const struct sn_addr *dst);
/* The port's address of dst's family, which a packet to dst leaves with (RFC 6724 has no choice left: one address of a
 * family); any: it has none. */
const struct sn_addr *sn_net_source(const struct sn_engine *e, uint16_t port, const struct sn_addr *dst);
/* The port's IPv4 address, or the IPv6 one if there is no other. */
const struct sn_addr *sn_net_port_addr(const struct sn_engine *e, uint16_t port);
uint16_t sn_net_port_mtu(const struct sn_engine *e, uint16_t port);
uint32_t sn_net_port_count(const struct sn_engine *e);
/* Next hop from a port to a destination; false: there is none. */
bool sn_net_next_hop(const struct sn_engine *e, uint16_t port, const struct sn_addr *dst, struct sn_addr *hop);
/* Index of the port that has this address, or -1. */
int32_t sn_net_addr_port(const struct sn_engine *e, const struct sn_addr *addr);
/* Number of one of our addresses, below SN_MAX_PORTS * SN_FAMILIES: port * SN_FAMILIES + family; or -1. */
int32_t sn_net_addr_slot(const struct sn_engine *e, const struct sn_addr *addr);

/* A SYN that matches no flow (or one whose TIME_WAIT record just gave way): sn_mptcp_syn and what follows from it.
 * Takes the buffer. */
void sn_net_tcp_syn(struct sn_engine *e, uint16_t port, const struct sn_flow *flow, const struct sn_tcp_seg *seg,
		    struct sn_buf *b, sn_time now);

/* Flow table. insert fails with SN_E_ADDRINUSE when the 4-tuple exists, SN_E_NOMEM when the table is full. */
enum sn_err sn_net_flow_insert(struct sn_engine *e, const struct sn_flow *flow, struct sn_tcp *tcp);
void sn_net_flow_remove(struct sn_engine *e, const struct sn_flow *flow);
/* An unpredictable number of a 4-tuple, always the same while the secret is. */
uint32_t sn_net_flow_tag(struct sn_engine *e, const struct sn_flow *flow);
struct sn_tcp *sn_net_flow_find(const struct sn_engine *e, const struct sn_flow *flow);
/* Remembers that segments of this flow go to another worker. Bounded: an entry that no more than a SYN was seen of makes
 * room, or one unused for long; false if there is none. */
bool sn_net_forward_learn(struct sn_engine *e, const struct sn_flow *flow, uint32_t owner, sn_time now);

/* Picks a free local port of this worker's block for a flow (RFC 6056 algorithm 3) and writes flow->lport. A port that
 * somebody listens on is not free.
 * SN_E_ADDRNOTAVAIL when all are taken. */
enum sn_err sn_net_port_choose(struct sn_engine *e, struct sn_flow *flow);

/* Answers a segment without a connection with RST; `opts` (already padded) may carry MP_TCPRST. */
void sn_net_send_rst(struct sn_engine *e, uint16_t port, const struct sn_flow *flow, const struct sn_tcp_seg *seg,
		     const uint8_t *opts, uint32_t opt_len, sn_time now);

#endif

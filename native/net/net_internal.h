/* SPDX-License-Identifier: Apache-2.0
 *
 * State of the network layer (net.h) and what its files call of each other. Included by net.h only.
 *
 *   net.c    the receive path down to TCP and ICMP
 *   route.c  ports, their addresses, routes
 *   neigh.c  neighbour table: who waits for whom, timers (neigh.h)
 *   neigh_share.c  what workers tell each other of neighbours
 *   neigh_news.c   what the control process is told of them, and its orders
 *   address.c      our own addresses: probed, announced, defended
 *   arp.c    how IPv4 neighbours are asked and heard
 *   ndp.c    the same for IPv6
 *   ip.c     sending: next hop, IP header, checksums
 *   icmp.c   echo of both families
 *   icmp_error.c  errors of both families, to the flows that they are about
 *   pmtu.c   what paths are known to carry
 *   recent.c the short way for segments of IPv4 flows met lately
 *   demux.c  flow and forward tables, port choice
 *   rst.c    RST to segments without a connection
 *   frag.c   fragments of both families put together
 */
#ifndef SN_NET_INTERNAL_H
#define SN_NET_INTERNAL_H

struct sn_arp;
struct sn_ip;
struct sn_ipv4;
struct sn_nd;
struct sn_neigh;
struct sn_frags;

enum {
	SN_FLOW_RECENT = 256,      /* power of two */
	SN_PORT_COUNTERS = 256,    /* power of two */
	SN_NEIGH_MAX = 256,        /* entries of one worker */
	SN_NEIGH_BUCKETS = 512,    /* power of two */
	SN_NEIGH_PENDING = 16,     /* frames that wait for one address */
	SN_NEIGH_TRIES = 10,       /* questions for an unknown MAC, one a second */
	SN_NEIGH_CHECKS = 3,       /* questions whether a known one still answers, one a second */
	SN_NEIGH_NEWS = 64,        /* what the control process has not heard yet */
	SN_NEIGH_NEWS_RATE = 100,  /* ... is told in a second */
	SN_NEIGH_NOTE = 0x88b5,    /* EtherType of notes between workers: one that IEEE 802 keeps for experiments */
	SN_ASK_RATE = 100000,      /* segments a second whose owner is looked for among the other workers */
	SN_RST_RATE = 1000,        /* RSTs a second without a connection */
	SN_STRANGER_RATE = 100,    /* answers a second to SYNs through next hops whose MAC is not known */
	SN_ECHO_RATE = 10000,      /* echo requests a second that are answered */
	SN_ICMP_ERROR_RATE = 5000, /* ICMP errors a second that are looked at */
	SN_PMTU_MAX = 256,         /* paths whose MTU is remembered */
	SN_NEIGH_SHARE_RATE = 1000 /* ARP and ND packets a second that are passed to the other workers */
};
#define SN_PMTU_AGE        (600 * SN_SEC) /* then a larger one may be tried (RFC 8201 4) */
#define SN_NEIGH_RETRY     SN_SEC
#define SN_NEIGH_FAIL_HOLD (3 * SN_SEC) /* for so long nobody waits for one that did not answer */
#define SN_NEIGH_HOLD      (60 * SN_SEC) /* a confirmation holds this long; then it is asked again if the entry is in use */

/* At most `rate` events a second, at most that many in a burst. */
struct sn_net_limit {
	sn_time last;
	uint64_t credit; /* nanoseconds saved up, one event costs SN_SEC / rate */
};

/* For the control process (neigh_news.c). */
struct sn_net_news {
	bool on;
	uint32_t n;
	sn_time due; /* whoever cannot take them now is not asked all the time */
	struct sn_net_limit limit;
	struct sn_neigh_news v[SN_NEIGH_NEWS];
};

/* A port's address of one family. */
struct sn_net_if {
	struct sn_addr addr, gateway; /* any: none */
	uint8_t prefix;               /* of 128: an IPv4 prefix counts 96 more */
};

/* A way from a port to a network beyond its link. */
struct sn_net_route {
	struct sn_addr dst, via;
	uint8_t prefix; /* as in struct sn_net_if */
};

struct sn_net_port {
	uint64_t mac_word; /* mac as sn_eth_dst_word() gives it */
	uint8_t mac[6];
	bool tx_csum;
	uint16_t mtu;
	uint32_t unit_max;
	uint16_t next_id; /* IPv4 identification */
	uint32_t ip;      /* nif[SN_FAMILY_4] in host order; 0: no address */
	/* Of the IPv4 network. `direct`: destinations with the bits of `ip` here need no look at routes. */
	uint32_t mask, direct;
	struct sn_net_if nif[SN_FAMILIES];  /* by enum sn_family */
	struct sn_neigh *last[SN_FAMILIES]; /* neighbour the last segment went to */
	uint32_t routed;                    /* IPv4 destination last looked up among routes, 0: none */
	struct sn_addr routed_via;          /* its next hop */
	/* By enum sn_family, longest prefix first. */
	uint32_t routes[SN_FAMILIES];
	struct sn_net_route route[SN_FAMILIES][SN_ROUTES];
	uint8_t held;                           /* families whose address is not used yet (address.c); bits */
	struct sn_net_if nif_held[SN_FAMILIES]; /* what they will have */
	sn_time defended[SN_FAMILIES];          /* when we last insisted on our address; 0: never */
};

/* An IPv4 flow of ours that was met lately, by what stands in its packets (network order, as loaded): saves parsing addresses
 * and the keyed hash. The addresses of an entry passed every check that is made on a frame's. */
struct sn_net_recent {
	uint64_t addrs; /* source, destination */
	uint32_t ports;
	struct sn_tcp *tcp; /* NULL: empty */
	struct sn_net_flow *flow;
};

/* A path of which it is known that it carries less than its port. */
struct sn_net_pmtu {
	struct sn_addr dst;
	sn_time at;
	uint16_t port, mtu; /* mtu 0: free */
};

struct sn_net {
	struct sn_net_port port[SN_MAX_PORTS];
	uint32_t ports;
	/* Flow table: own flows from `nodes`, flows of other workers from `foreign`, in the same chains. */
	struct sn_net_flow **bucket;
	uint32_t bucket_mask;
	struct sn_net_recent recent[SN_FLOW_RECENT]; /* by a cheap hash */
	struct sn_slab nodes;
	struct sn_net_flow *foreign;
	uint32_t foreign_count;               /* power of two */
	uint32_t foreign_next;                /* where the search for a slot starts */
	uint32_t port_next[SN_PORT_COUNTERS]; /* RFC 6056 3.3.4: by a hash of the destination */
	/* Neighbours. */
	struct sn_slab neighs;
	struct sn_neigh **neigh_bucket;
	bool resolved_only; /* frames to unresolved neighbours are dropped: sn_engine_recover() */
	struct sn_net_limit rst_limit, ask_limit, echo_limit, neigh_share_limit, stranger_limit, error_limit;
	struct sn_net_pmtu pmtu[SN_PMTU_MAX];
	bool pmtu_known; /* there ever was one */
	struct sn_frags *frags;
	struct sn_net_news news;
};

/* net.c: frames of such a flow are not dropped because of their addresses. */
bool sn_net_frame_sane(const struct sn_net *n, const struct sn_flow *flow);
/* net.c: the frame in a buffer of ours instead of a sibling's, which is freed. NULL: there is none. */
struct sn_buf *sn_net_bring_home(struct sn_engine *e, struct sn_buf *b);
/* net.c: any frame. Ownership passes. */
void sn_net_rx_frame(struct sn_engine *e, struct sn_buf *b, sn_time now);
bool sn_net_limit_take(struct sn_net_limit *l, uint32_t rate, sn_time now);

/* route.c: what an interface of a host can be given (RFC 4291 2.5, 2.7). */
bool sn_net_is_unicast6(const struct sn_addr *a);

/* route.c: after nif has changed. */
void sn_net_port_settle(struct sn_net_port *p);
/* Next hop of an IPv4 destination on a port with routes, kept for the next packet; any: there is none. */
const struct sn_addr *sn_net_routed(struct sn_net_port *p, const struct sn_addr *dst);

/* address.c: these addresses (bits by enum sn_family) are not used until they are ready. */
void sn_address_hold_back(struct sn_net_port *p, uint8_t families);
/* SN_ADDR_PROBE, SN_ADDR_READY, SN_ADDR_ANNOUNCE. */
enum sn_err sn_address_order(struct sn_engine *e, uint8_t op, uint16_t port, const struct sn_addr *addr);
void sn_address_announce(struct sn_engine *e, uint16_t port, enum sn_family family);
/* Whether somebody claims an address of ours: an ARP packet, a neighbour message, a frame of IPv6 not looked at yet. */
void sn_address_heard_arp(struct sn_engine *e, uint16_t port, const struct sn_arp *a, sn_time now);
void sn_address_heard_nd(struct sn_engine *e, const struct sn_buf *b, const struct sn_ip *ip, const struct sn_nd *nd,
			 sn_time now);
void sn_address_heard_frame(struct sn_engine *e, const struct sn_buf *b, sn_time now);

/* neigh_news.c: the control process is to hear who claims our address. */
void sn_net_conflict(struct sn_engine *e, uint16_t port, const struct sn_addr *addr, const uint8_t mac[6], sn_time now);

/* demux.c */
bool sn_demux_init(struct sn_engine *e);
uint64_t sn_demux_hash(const struct sn_engine *e, const struct sn_flow *flow);
static inline void sn_demux_prefetch(const struct sn_net *n, uint64_t hash)
{
	__builtin_prefetch(&n->bucket[hash & n->bucket_mask]);
}
struct sn_net_flow *sn_demux_lookup(const struct sn_net *n, const struct sn_flow *flow, uint64_t hash);
/* A TCP segment (from the TCP header on: ip has been parsed), see the order in net.h. Ownership passes. */
void sn_demux_tcp(struct sn_engine *e, struct sn_buf *b, const struct sn_ip *ip, uint8_t *tcp, sn_time now);
/* A whole frame about a flow that is not in our table goes to the worker that has it, or may have it. False: there is none,
 * the buffer stays the caller's. */
bool sn_demux_elsewhere(struct sn_engine *e, struct sn_buf *b, const struct sn_flow *flow, sn_time now);

/* frag.c: a fragment in b, which starts with the Ethernet header; ip as sn_ipv6_parse() left it. Addresses have been
 * looked at. Ownership passes. */
bool sn_frag_init(struct sn_engine *e);
void sn_frag_rx4(struct sn_engine *e, struct sn_buf *b, const struct sn_ipv4 *ip, sn_time now);
void sn_frag_rx6(struct sn_engine *e, struct sn_buf *b, struct sn_ip *ip, sn_time now);

/* recent.c */
void sn_recent_learn(struct sn_net *n, struct sn_net_flow *f);
/* The entry of a flow, or NULL. */
struct sn_net_recent *sn_recent_find(struct sn_net *n, const struct sn_flow *f);

/* neigh.c */
bool sn_neigh_init(struct sn_engine *e);
/* Frame whose IP packet starts at tx->hdr->data, not to the neighbour that the last one went to (ip.c): prepends Ethernet
 * and emits, or waits for the next hop to be resolved. */
void sn_neigh_send(struct sn_engine *e, uint16_t port, const struct sn_addr *hop, struct sn_tx *tx, sn_time now);

/* neigh_share.c: a note of a sibling, at least an Ethernet header long. The buffer stays the caller's. */
void sn_neigh_note_rx(struct sn_engine *e, struct sn_buf *b, sn_time now);

/* arp.c: a received ARP frame, at least an Ethernet header long. Ownership passes. */
void sn_arp_rx(struct sn_engine *e, struct sn_buf *b, sn_time now);

/* ndp.c: `len` bytes of ICMPv6 message at p inside b whose checksum is good. Ownership passes. */
void sn_nd_rx(struct sn_engine *e, struct sn_buf *b, const struct sn_ip *ip, const uint8_t *p, uint32_t len,
	      sn_time now);

/* ip.c: prepends the IP header to tx (payload_len set) and sends; the transport checksum is already in place. Both
 * addresses are of one family. */
void sn_ip_send(struct sn_engine *e, uint16_t port, const struct sn_addr *src, const struct sn_addr *dst, uint8_t proto,
		struct sn_tx *tx, sn_time now);

/* icmp.c: `len` bytes of ICMP or ICMPv6 message at p inside b. `to_group`: the destination is one of our groups, not our
 * address. Ownership passes. */
void sn_icmp_rx(struct sn_engine *e, struct sn_buf *b, const struct sn_ip *ip, const uint8_t *p, uint32_t len,
		sn_time now);
void sn_icmp6_rx(struct sn_engine *e, struct sn_buf *b, const struct sn_ip *ip, bool to_group, const uint8_t *p,
		 uint32_t len, sn_time now);

/* icmp_error.c: `len` bytes of ICMP or ICMPv6 message at p inside b, neither echo request nor neighbour discovery. Ownership
 * passes. */
void sn_icmp_error_rx(struct sn_engine *e, struct sn_buf *b, const struct sn_ip *ip, const uint8_t *p, uint32_t len,
		      sn_time now);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * An entry of the neighbour table, for the files that ask and hear neighbours.
 */
#ifndef SN_NET_NEIGH_H
#define SN_NET_NEIGH_H

#include "engine/engine.h"
#include "wire/eth.h"

enum sn_neigh_state { SN_NEIGH_ASKING, SN_NEIGH_FRESH, SN_NEIGH_CHECKING, SN_NEIGH_FAILED };

struct sn_neigh {
	struct sn_timer timer;
	struct sn_engine *engine;
	struct sn_neigh *next; /* hash chain */
	struct sn_addr addr;
	uint16_t eth_type; /* of its family */
	uint16_t port;
	uint8_t state; /* enum sn_neigh_state */
	uint8_t tries;
	uint8_t mac[6];
	uint8_t waiting_count;
	struct sn_buf *waiting, **waiting_tail; /* frames from the IP header on, oldest first */
	sn_time used;                           /* last sent to; 0: never */
	sn_time confirmed;
	sn_time asked; /* last time, by us or a sibling */
	sn_time until; /* FAILED: the entry goes then */
	bool told;     /* the control process knows of the entry, or will from the worker that asks */
	bool owed;     /* what was to be told last did not get through */
	bool stale;    /* it wants to hear of the next use */
	bool checked;  /* it wants to hear the answer */
	bool refused;  /* FAILED: somebody has not heard of it yet */
};

/* The IP packet at tx->hdr->data gets its Ethernet header and leaves. type: h->eth_type, where the caller knows it. */
static inline void sn_neigh_emit(struct sn_engine *e, const struct sn_neigh *h, uint16_t type, struct sn_tx *tx)
{
	tx->hdr->data -= SN_ETH_HDR;
	tx->hdr->len += SN_ETH_HDR;
	sn_eth_emit(tx->hdr->data, h->mac, e->net.port[h->port].mac, type);
	sn_engine_emit(e, tx);
}

struct sn_neigh *sn_neigh_find(const struct sn_net *n, uint16_t port, const struct sn_addr *addr);
/* A new entry, to be learnt or asked for at once; another may make room. NULL: there is no room. */
struct sn_neigh *sn_neigh_make(struct sn_engine *e, uint16_t port, const struct sn_addr *addr);
/* The same for one that others need: none that is in use or asked for makes room. */
struct sn_neigh *sn_neigh_make_spare(struct sn_engine *e, uint16_t port, const struct sn_addr *addr);
/* The neighbour was heard: what waits leaves. */
void sn_neigh_learn(struct sn_neigh *h, const uint8_t mac[6], sn_time now);
/* It is said to have this MAC, unasked: used and checked at once. */
void sn_neigh_doubt(struct sn_neigh *h, const uint8_t mac[6], sn_time now);
/* Nobody has this address: what waits for it and what needs it within `hold` fails. */
void sn_neigh_fail(struct sn_neigh *h, sn_time hold, sn_time now);
void sn_neigh_forget(struct sn_neigh *h);
/* Asks once, and leaves state and timer alone. */
void sn_neigh_question(struct sn_neigh *h, sn_time now);
/* The next packet to it passes by sn_neigh_send(). */
void sn_neigh_uncache(struct sn_neigh *h);

/* neigh_share.c: copies of the first `len` bytes of a frame for every other worker. */
void sn_neigh_share(struct sn_engine *e, const struct sn_buf *b, uint32_t len, sn_time now);
/* Tells them that h was asked just now, so that they wait for the same answer. */
void sn_neigh_share_question(const struct sn_neigh *h, sn_time now);

/* neigh_news.c: something the control process should know of; kind: enum sn_neigh_news_kind. */
void sn_neigh_tell(struct sn_neigh *h, uint8_t kind, sn_time now);

/* arp.c, ndp.c: one question for this neighbour's MAC. */
void sn_arp_ask(const struct sn_neigh *h);
void sn_nd_ask(const struct sn_neigh *h);
/* Has anybody this address, which is to be ours? */
void sn_arp_probe(struct sn_engine *e, uint16_t port, const struct sn_addr *addr);
void sn_nd_probe(struct sn_engine *e, uint16_t port, const struct sn_addr *addr);
/* All hear that our address is at our MAC. */
void sn_arp_announce(struct sn_engine *e, uint16_t port);
void sn_nd_announce(struct sn_engine *e, uint16_t port);

#endif

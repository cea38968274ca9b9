/* SPDX-License-Identifier: Apache-2.0
 *
 * State of the MPTCP layer of one worker. Part of struct sn_engine; only native/mptcp looks inside.
 */
#ifndef SN_MPTCP_INTERNAL_H
#define SN_MPTCP_INTERNAL_H

#include "engine/slab.h"
#include "engine/wheel.h"
#include "sn_abi.h"
#include "sn_base.h"

struct sn_conn;
struct sn_chunk;

/* An intrusive list of connections (conn->link). */
struct sn_conn_list {
	struct sn_conn *head, *tail;
	uint32_t n;
};

/* One listening port of one application on this worker. */
struct sn_listener {
	uint8_t flags; /* SN_OPF_* */
	uint8_t sched; /* enum sn_sched_id */
	uint16_t lport;
	uint32_t slot; /* channel */
	uint8_t cc;    /* enum sn_cc_id */
	uint32_t backlog;
	uint32_t pending; /* connections in the handshake or not yet taken by SN_OP_ACCEPT */
	uint32_t half;    /* of these in the handshake */
	uint64_t user;
	struct sn_addr laddr; /* 0.0.0.0: every IPv4 address of ours, ::: every address */
};

#define SN_PM_EVENTS_SOON (5 * SN_MSEC) /* how long an event may wait for others */

/* Why a connection waits for its application. */
enum sn_block { SN_BLOCK_CQ = 0, SN_BLOCK_RX = 1, SN_BLOCK_KINDS = 2 };

enum { SN_MPTCP_CHANNELS = 64, SN_CONN_INDEX_BITS = 20, SN_BLACKHOLES = 64, SN_PM_EVENTS = 1024 };

/* A destination that SYNs with MP_CAPABLE do not reach (RFC 8684 3.1, 3.7). */
struct sn_blackhole {
	struct sn_addr addr;
	sn_time until; /* 0: free */
};

struct sn_mptcp {
	struct sn_slab conns;     /* struct sn_conn */
	struct sn_slab subflows;  /* struct sn_subflow */
	struct sn_slab chunks;    /* struct sn_chunk */
	struct sn_slab sents;     /* struct sn_sent: which subflow carried what */
	uint16_t *generation;     /* per connection index: makes an old id stale */
	struct sn_slab listeners; /* struct sn_listener */

	struct sn_conn **bucket; /* token hash */
	uint32_t bucket_mask;

	struct sn_endpoint endpoint[SN_MAX_ENDPOINTS]; /* id 0: free slot */

	struct sn_conn *half_head, *half_tail; /* peers' handshakes under way, oldest first */
	uint32_t half;
	sn_time cookies_until; /* cookies sent until now may come back until then */

	struct sn_conn_list run; /* something to do */
	struct sn_conn_list blocked[SN_MPTCP_CHANNELS][SN_BLOCK_KINDS];
	struct sn_timer retry;                   /* looks again at full completion rings */
	uint32_t slot_chunks[SN_MPTCP_CHANNELS]; /* chunks in use per channel: none may take them all */
	struct sn_chunk *zombies;                /* chunks whose connection is gone while a port still reads them */
	struct sn_blackhole blackhole[SN_BLACKHOLES];
	bool draining; /* no new connections */

	/* What path managers outside are told (pm_events.c). */
	bool watched;
	struct sn_pm_event *event; /* ring of SN_PM_EVENTS */
	uint32_t event_head, event_n;
	uint64_t event_lost;
	sn_time event_due; /* with event_n: when they should be taken */
};

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * One worker's protocol engine: owns neighbours and routes (net/), TCP (tcp/), MPTCP (mptcp/), the timer wheel and the
 * attached channels. It performs no I/O, reads no clock and draws no randomness of its own: frames, `now`, random bytes
 * and channel submissions go in; frames (through hooks.tx), completions and the next deadline come out.
 *
 * Thread rule: one thread per engine. Memory: one region given by the caller, nothing allocated later.
 */
#ifndef SN_ENGINE_H
#define SN_ENGINE_H

#include "engine/slab.h"
#include "engine/wheel.h"
#include "mptcp/mptcp.h"
#include "net/net.h"
#include "shm/channel.h"
#include "sn_abi.h"
#include "sn_base.h"
#include "sn_buf.h"
#include "sn_counters.h"
#include "sn_tcp_ops.h"
#include "tcp/stack.h"

enum { SN_MAX_CHANNELS = 64, SN_TX_BURST = 64 };

/* How short packet buffers are (engine/pressure.c). */
enum sn_tight { SN_TIGHT_NOT, SN_TIGHT_SHORT, SN_TIGHT_LAST };

/* What the engine asks of its surroundings. All are called on the engine's thread. */
struct sn_engine_hooks {
	void *ctx;
	/* Takes n frames for one port. Must take all (drop and count what does not fit). v[i].hdr belongs to the callee;
	 * payload references may be read until it returns, longer only with a reference on the chunk. */
	void (*tx)(void *ctx, uint16_t port, struct sn_tx *v, uint32_t n);
	/* Hands a received buffer to another worker; false if its ring is full (the caller keeps the buffer). */
	bool (*forward)(void *ctx, uint32_t worker, struct sn_buf *b);
	/* Fills out with n unpredictable bytes (getrandom, or a seeded generator in the simulator). */
	void (*random)(void *ctx, void *out, size_t n);
};

struct sn_engine_cfg {
	uint32_t worker, workers; /* this worker's index and their number: server keys obey token % workers == worker */
	uint16_t port_base;       /* first local port for active opens, this worker's block */
	uint16_t port_count;      /* power of two */
	uint16_t block_base;      /* first port of worker 0's block; blocks follow each other */
	uint32_t max_conns, max_subflows, max_segs, max_chunks, max_listeners;
	uint32_t rcvbuf;        /* bytes of receive buffer per connection: the largest window */
	uint8_t secret[16];     /* keys ISN (RFC 6528) and port choice (RFC 6056); same for all workers */
	const char *tcp_engine; /* "native" */
	const char *cc;         /* "cubic" | "newreno" | "bbr" | "dctcp" */
	uint8_t sched;          /* enum sn_sched_id */
	bool csum;              /* ask for DSS checksums */
	bool no_join;           /* C flag of MP_CAPABLE: joins to announced addresses and ports only */
	struct sn_tcp_cfg tcp;
	struct sn_pm_limits limits;
	struct sn_pool *pool;
	struct sn_engine_hooks hooks;
};

struct sn_engine {
	struct sn_engine_cfg cfg;
	struct sn_counters counters;
	sn_time now;
	struct sn_region region;
	struct sn_wheel wheel;
	struct sn_net net;
	const struct sn_tcp_ops *tcp_ops;
	struct sn_tcp_stack tcp;
	struct sn_mptcp mptcp;
	struct sn_channel *channel[SN_MAX_CHANNELS]; /* NULL: free slot */
	uint32_t channels;                           /* highest slot in use + 1 */
	uint64_t ended; /* bit per slot: the application broke the protocol, everything of it was ended */
	uint8_t tight;  /* enum sn_tight, as of the last poll */
	uint32_t pool_size, rcv_plenty; /* rcv_most while less than half of a pool of this size is in use */
	uint32_t rcv_most;              /* a connection's receive buffer may grow up to this now */
	uint32_t ooo_max;               /* buffers that one out-of-order queue may hold now */
	sn_time prune_at;
	bool queued; /* frames wait in `out` */
	struct sn_tx_queue {
		uint32_t n;
		struct sn_tx v[SN_TX_BURST];
	} out[SN_MAX_PORTS];
};

/* Sensible limits for one worker; the caller sets pool, hooks, worker, workers and secret. */
void sn_engine_cfg_default(struct sn_engine_cfg *cfg);
/* Bytes of region that a configuration needs. */
size_t sn_engine_footprint(const struct sn_engine_cfg *cfg);
/* Lays the engine out in mem (cache-line aligned, footprint() bytes). NULL with a bad configuration. */
struct sn_engine *sn_engine_init(void *mem, size_t size, const struct sn_engine_cfg *cfg, sn_time now);
/* Reinitialises after a worker's death: for every subflow record left in `mem` that was synchronised, emits a RST to the
 * peer through the new hooks, then lays the engine out afresh. Ports are kept. */
struct sn_engine *sn_engine_recover(void *mem, size_t size, const struct sn_engine_cfg *cfg, sn_time now);

/* Adds a NIC port. Returns its index or an error. */
int32_t sn_engine_port_add(struct sn_engine *e, const struct sn_net_port_cfg *port);

/* Attaches a channel; returns its slot or SN_E_NOSPC. */
int32_t sn_engine_channel_attach(struct sn_engine *e, struct sn_channel *ch);
/* Aborts every connection and listener of the channel (MP_FASTCLOSE / RST) and frees what they held. After it returns
 * nothing refers to the channel's memory. */
void sn_engine_channel_detach(struct sn_engine *e, uint32_t slot, sn_time now);

/* A burst of received frames; ownership of every buffer passes. */
void sn_engine_rx(struct sn_engine *e, struct sn_buf **v, uint32_t n, sn_time now);
/* Submissions of all channels (bounded per call), due timers, pending schedules; flushes frames. Returns the next
 * deadline; `now` itself when work is left over. *work is the number of things done (0: idle). */
sn_time sn_engine_poll(struct sn_engine *e, sn_time now, uint32_t *work);
/* True if some channel has submissions waiting: the last look before sleeping. */
bool sn_engine_pending(const struct sn_engine *e);
/* Closes every connection in good order; poll until sn_engine_conns() is 0 or patience ends. */
void sn_engine_drain(struct sn_engine *e, sn_time now);
uint32_t sn_engine_conns(const struct sn_engine *e);

/* Path-manager policy, pushed by the control process. */
enum sn_err sn_engine_endpoint_add(struct sn_engine *e, const struct sn_endpoint *ep, sn_time now);
enum sn_err sn_engine_endpoint_del(struct sn_engine *e, uint8_t id, sn_time now);
void sn_engine_limits_set(struct sn_engine *e, const struct sn_pm_limits *limits);
/* One step of a policy outside. SN_E_INVAL: it makes no sense, SN_E_NOTCONN: there is no such connection or subflow. */
enum sn_err sn_engine_pm_command(struct sn_engine *e, const struct sn_pm_command *cmd, sn_time now);
/* Events of connections and paths: a bounded queue, filled only while somebody watches. */
void sn_engine_watch(struct sn_engine *e, bool on);
uint32_t sn_engine_events(struct sn_engine *e, struct sn_pm_event *out, uint32_t n, uint64_t *lost);
/* When they should be taken: soon after the first, at once when the queue fills up; SN_TIME_NEVER: there are none.
 * Those of neighbours as well. */
sn_time sn_engine_events_due(const struct sn_engine *e);
/* They are due: says so once, then not for a while. */
bool sn_engine_events_ask(struct sn_engine *e, sn_time now);

/* Neighbours and our addresses (abi/32_neigh.h): told from the first watch on, ordered by the control process. */
void sn_engine_news_watch(struct sn_engine *e);
uint32_t sn_engine_news(struct sn_engine *e, struct sn_neigh_news *out, uint32_t n);
enum sn_err sn_engine_order(struct sn_engine *e, const struct sn_neigh_order *order, sn_time now);

/* Views. conn_info fills at most n records starting at table index *cursor, returns how many, advances *cursor
 * (UINT32_MAX at the end). */
uint32_t sn_engine_conn_info(const struct sn_engine *e, uint32_t *cursor, struct sn_conn_info *out, uint32_t n);
uint32_t sn_engine_subflow_info(const struct sn_engine *e, uint32_t conn, struct sn_subflow_info *out, uint32_t n);
uint32_t sn_engine_tables(const struct sn_engine *e, struct sn_table_info *out, uint32_t n);
const char *sn_engine_table_name(uint32_t i);
uint32_t sn_counter_count(void);
const char *sn_counter_name(uint32_t i);
const char *sn_counter_help(uint32_t i);
uint64_t sn_engine_counter(const struct sn_engine *e, uint32_t i);

/* --- for the modules inside ------------------------------------------------------------------------------------- */

/* Where the next frame of a port will stand: built there, it needs no copy. Nothing else may be emitted meanwhile. */
static inline struct sn_tx *sn_engine_tx_slot(struct sn_engine *e, uint16_t port)
{
	return &e->out[port].v[e->out[port].n];
}
/* Queues one frame; flushes the port's burst when it is full. Takes tx->hdr. */
void sn_engine_emit(struct sn_engine *e, const struct sn_tx *tx);
void sn_engine_flush(struct sn_engine *e);
/* RFC 6528: M(now / 4 us) + F(flow, secret). */
uint32_t sn_engine_isn(struct sn_engine *e, const struct sn_flow *flow, sn_time now);
static inline void sn_engine_random(struct sn_engine *e, void *out, size_t n)
{
	e->cfg.hooks.random(e->cfg.hooks.ctx, out, n);
}
/* Looks at the pool: sets tight and ooo_max. */
void sn_pressure_look(struct sn_engine *e, sn_time now);
/* Owner of a local port chosen by some worker for an active open, or -1 if it lies in no block. */
int32_t sn_engine_port_owner(const struct sn_engine *e, uint16_t lport);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * The native TCP engine: configuration and per-worker state. The engine itself is reached through sn_tcp_native_ops.
 */
#ifndef SN_TCP_STACK_H
#define SN_TCP_STACK_H

#include "engine/slab.h"
#include "sn_base.h"

struct sn_engine;

struct sn_tcp_cfg {
	sn_time rto_initial;     /* RFC 6298 2.1: 1 s */
	sn_time rto_min;         /* floor; data-centre default 20 ms, Linux-like 200 ms */
	sn_time rto_max;         /* 60 s */
	sn_time delack;          /* delayed ACK, at most 40 ms */
	sn_time time_wait;       /* how long a TIME_WAIT record is kept */
	sn_time fin_wait;        /* how long an orphan waits in FIN_WAIT_2 */
	uint32_t syn_retries;    /* active open: give up after this many */
	uint32_t retries;        /* established: give up after this many timeouts in a row */
	uint32_t initial_window; /* segments, RFC 6928: 10 */
	uint32_t max_ooo;        /* out-of-order buffers kept per flow */
};

struct sn_tcp_stack {
	struct sn_slab conns;             /* struct sn_tcp: subflows, and as many again in TIME_WAIT */
	struct sn_slab segs;              /* struct sn_tcp_txseg: one sent segment */
	struct sn_tcp *tw_head, *tw_tail; /* TIME_WAIT, oldest first: the first to go when records run out */
};

void sn_tcp_cfg_default(struct sn_tcp_cfg *cfg);
/* Lays tables out in the engine's region by cfg.max_subflows and cfg.max_segs. */
bool sn_tcp_init(struct sn_engine *e);
/* Sends RST to the peer of every synchronised record found in a dead worker's table, using `from` only to read. */
void sn_tcp_reset_left_over(struct sn_engine *e, const struct sn_tcp_stack *from, sn_time now);

#endif

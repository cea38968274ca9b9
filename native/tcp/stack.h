/* SPDX-License-Identifier: Apache-2.0
 *
 * The native TCP engine: configuration and per-worker state. The engine itself is reached through sn_tcp_native_ops.
 */
#ifndef SN_TCP_STACK_H
#define SN_TCP_STACK_H

#include "engine/slab.h"
#include "sn_base.h"
#include "wire/tcp.h"

struct sn_engine;

/* When a SYN is answered by a cookie instead of a record. */
enum sn_cookie_mode { SN_COOKIES_OFF, SN_COOKIES_PRESSED, SN_COOKIES_ALWAYS };

struct sn_tcp_cfg {
	sn_time rto_initial;     /* RFC 6298 2.1: 1 s */
	sn_time rto_min;         /* the least that RTO lies above srtt */
	sn_time rto_max;         /* 60 s */
	sn_time delack;          /* delayed ACK, at most 40 ms */
	sn_time ack_delay_max;   /* how long a peer may hold back the ACK of a lone segment (RFC 8985 7.2) */
	sn_time tlp_min;         /* a tail probe waits at least so long */
	uint32_t tlp_srtt8;      /* and so many eighths of srtt: 16 is RFC 8985's 2 srtt */
	sn_time time_wait;       /* how long a TIME_WAIT record is kept */
	sn_time fin_wait;        /* how long an orphan waits in FIN_WAIT_2 */
	uint32_t orphan_retries; /* an orphan gives up after this many timeouts in a row, */
	sn_time orphan_patience; /* and not before about so long */
	uint32_t max_orphans;    /* the oldest is reset when there are more */
	uint32_t syn_retries;    /* active open: give up after this many */
	uint32_t retries;        /* established: give up after this many timeouts in a row, */
	sn_time patience;        /* and not before about so long (R2 of RFC 9293 3.8.3) */
	uint32_t initial_window; /* segments, RFC 6928: 10 */
	uint32_t max_ooo;        /* out-of-order buffers kept per flow */
	uint32_t rcv_initial;    /* bytes of window at first; tuned up to what the owner grants */
	uint8_t ecn;             /* enum sn_ecn_mode: RFC 3168 off, if the peer asks, or asked for */
	uint8_t cookies;         /* enum sn_cookie_mode: never, when handshakes use up what they may, every SYN */
	bool pacing;             /* window-based congestion controls are paced as well */
};

enum { SN_TFO_SERVERS = 64 };

/* What a server said in its SYN/ACK (RFC 7413 4.1.3). */
struct sn_tfo_server {
	struct sn_addr addr;
	struct sn_tfo_cookie cookie; /* len 0: none, or entry free */
	uint8_t strikes;             /* SYNs with data in a row that were lost */
	uint16_t mss;                /* payload that it takes in one segment, options included */
	sn_time used;
	sn_time muted; /* not before this is data sent with a SYN again */
};

struct sn_tcp_stack {
	struct sn_slab conns;                     /* struct sn_tcp: subflows, and as many again in TIME_WAIT */
	struct sn_slab segs;                      /* struct sn_tcp_txseg: one sent segment */
	struct sn_slab bbr;                       /* struct sn_bbr: of flows that use it */
	struct sn_tfo_server tfo[SN_TFO_SERVERS]; /* fastopen.c */
	struct sn_tcp *tw_head, *tw_tail;         /* TIME_WAIT, oldest first: the first to go when records run out */
	struct sn_tcp *orphan_head, *orphan_tail; /* closing without an owner, oldest first */
	uint32_t orphans;
};

/* "datacenter": the default. Its floors lie below a kernel peer's delayed ACK: tail probes mend what is lost, and what was
 * not lost is found out and taken back (undo.c). "linux": the timers of Linux. False: no such profile. */
bool sn_tcp_cfg_profile(struct sn_tcp_cfg *cfg, const char *name);
void sn_tcp_cfg_default(struct sn_tcp_cfg *cfg);
/* Lays tables out in the engine's region by cfg.max_subflows and cfg.max_segs. */
bool sn_tcp_init(struct sn_engine *e);
/* Sends RST to the peer of every synchronised record found in a dead worker's table, using `from` only to read. */
void sn_tcp_reset_left_over(struct sn_engine *e, const struct sn_tcp_stack *from, sn_time now);

#endif

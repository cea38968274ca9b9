/* SPDX-License-Identifier: Apache-2.0
 *
 * Congestion control behind one ops struct. An algorithm owns cwnd and ssthresh of a record outside fast recovery;
 * when to call it is ack.c's and recovery.c's business. All in bytes.
 */
#ifndef SN_TCP_CC_H
#define SN_TCP_CC_H

#include "sn_base.h"

struct sn_tcp;

/* HyStart++ (RFC 9406). */
struct sn_hystart {
	sn_time last_min, cur_min; /* min RTT of the last and of this round, SN_TIME_NEVER: none */
	sn_time css_base;
	uint32_t round_end; /* sequence number that ends the round */
	uint8_t samples, css_rounds;
	bool css, on;
};

struct sn_cubic {
	struct sn_hystart hs;
	double w_max, w_est, k, prior; /* segments; k in seconds */
	double carry;                  /* bytes of growth not yet applied */
	sn_time epoch;                 /* 0: none */
	sn_time last_ack;
};
struct sn_newreno {
	struct sn_hystart hs;
	uint32_t carry;
};
union sn_cc_state {
	struct sn_cubic cubic;
	struct sn_newreno newreno;
};

struct sn_cc_ack {
	uint32_t acked; /* bytes newly acknowledged */
	sn_time rtt;    /* sample, 0: none */
	sn_time now;
	uint32_t prior_pipe; /* in flight before this ACK */
	bool limited;        /* the window limited sending: only then it may grow (RFC 9293 via RFC 7661's argument) */
};

struct sn_cc_ops {
	const char *name;
	void (*init)(struct sn_tcp *, sn_time now);
	/* New data was acknowledged, not in fast recovery. */
	void (*on_ack)(struct sn_tcp *, const struct sn_cc_ack *);
	/* Loss found by duplicate ACKs: once per window. Sets ssthresh and cwnd. */
	void (*on_loss)(struct sn_tcp *, sn_time now);
	/* Retransmission timeout: once per window. Sets ssthresh. */
	void (*on_rto)(struct sn_tcp *, sn_time now);
	/* Sending starts again after `idle`. */
	void (*on_restart)(struct sn_tcp *, sn_time idle, sn_time now);
};

extern const struct sn_cc_ops sn_cc_cubic, sn_cc_newreno;
/* NULL or an unknown name: the default. */
const struct sn_cc_ops *sn_cc_find(const char *name);

/* Slow start with HyStart++; returns the acknowledged bytes that slow start did not use. */
void sn_hystart_init(struct sn_hystart *h, uint32_t snd_nxt);
uint32_t sn_slow_start(struct sn_tcp *t, struct sn_hystart *h, const struct sn_cc_ack *a);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Congestion control behind one ops struct, chosen per connection by name; with it pacing, delivery-rate samples and
 * ECN. An algorithm owns cwnd and ssthresh of a record outside fast recovery (with `own_recovery` inside as well); when it
 * is called is ack.c's and recovery.c's business, which go through the sn_cc_*() functions below. All in bytes.
 */
#ifndef SN_TCP_CC_H
#define SN_TCP_CC_H

#include "engine/wheel.h"
#include "sn_base.h"

struct sn_tcp;
struct sn_tcp_seg;
struct sn_tcp_txseg;
struct sn_tcp_ackinfo;
struct sn_buf;

/* HyStart++ (RFC 9406). */
struct sn_hystart {
	sn_time last_min, cur_min; /* min RTT of the last and of this round, SN_TIME_NEVER: none */
	sn_time css_base;
	uint32_t round_end; /* sequence number that ends the round */
	uint8_t samples, css_rounds;
	bool css, on;
};

/* The curve of one epoch: what an undone reduction brings back. */
struct sn_cubic_curve {
	double w_max, w_est, k, prior; /* segments; k in seconds */
	sn_time epoch;                 /* 0: none */
};
struct sn_cubic {
	struct sn_hystart hs;
	struct sn_cubic_curve c, undo;
	double carry; /* bytes of growth not yet applied */
	sn_time last_ack;
	bool timed_out; /* the next epoch follows a timeout (RFC 9438 4.8) */
};
struct sn_newreno {
	struct sn_hystart hs;
	uint32_t carry;
};
struct sn_dctcp {
	struct sn_newreno reno; /* growth */
	double alpha;           /* share of marked bytes, smoothed (RFC 8257 3.3) */
	uint32_t window_end;
	uint32_t acked, marked; /* in this observation window */
};
#include "tcp/bbr.h"

union sn_cc_state {
	struct sn_cubic cubic;
	struct sn_newreno newreno;
	struct sn_dctcp dctcp;
	struct sn_bbr *bbr; /* of sn_tcp_stack.bbr: larger than the others, and used by choice */
};

/* Delivery rate (draft-cheng-iccrg-delivery-rate-estimation): what happened between the sending of the newest segment
 * that this ACK delivers and now. */
struct sn_rate_sample {
	uint64_t rate;            /* bytes/s, 0: no valid sample */
	uint32_t delivered;       /* bytes delivered meanwhile */
	uint32_t prior_delivered; /* low bits of sn_tcp.delivered when it was sent */
	uint32_t in_flight;       /* bytes, just after it was sent */
	uint32_t lost;            /* bytes judged lost since then */
	bool app_limited, valid;  /* valid: everything but rate may be used */
};

struct sn_cc_ack {
	uint32_t acked;     /* bytes newly acknowledged */
	uint32_t delivered; /* bytes newly delivered, by ACK or SACK */
	uint32_t lost;      /* bytes newly judged lost */
	sn_time rtt;        /* sample, 0: none */
	sn_time now;
	uint32_t prior_pipe; /* in flight before this ACK */
	bool limited;        /* the window limited sending: only then it may grow (RFC 9293 via RFC 7661's argument) */
	bool ece;            /* the ACK carries ECE */
	struct sn_rate_sample rs; /* set with own_recovery only */
};

struct sn_cc_ops {
	const char *name;
	bool own_recovery; /* sets cwnd in fast recovery itself: no PRR, on_ack is called for every ACK */
	bool exact_ecn;    /* DCTCP: asks for ECN, the receiver echoes every mark */
	void (*init)(struct sn_tcp *, sn_time now);
	/* New data was acknowledged, not in fast recovery; with own_recovery: every ACK of outstanding data. */
	void (*on_ack)(struct sn_tcp *, const struct sn_cc_ack *);
	/* Loss found by duplicate ACKs: once per window. Sets ssthresh and cwnd. */
	void (*on_loss)(struct sn_tcp *, sn_time now);
	/* Retransmission timeout: once per window. Sets ssthresh. */
	void (*on_rto)(struct sn_tcp *, sn_time now);
	/* Sending starts again after `idle`. May be NULL. */
	void (*on_restart)(struct sn_tcp *, sn_time idle, sn_time now);
	/* The last on_loss or on_rto was spurious; cwnd and ssthresh are restored already. May be NULL. */
	void (*on_undo)(struct sn_tcp *, sn_time now);
};

extern const struct sn_cc_ops sn_cc_cubic, sn_cc_newreno, sn_cc_dctcp, sn_cc_bbr;
/* NULL or an unknown name: the default. */
const struct sn_cc_ops *sn_cc_find(const char *name);
/* True if `name` names one. */
bool sn_cc_known(const char *name);

/* What all algorithms share of a record's state. */
struct sn_cc_common {
	/* Pacing: nothing is sent before `next`. */
	struct sn_timer timer;
	sn_time next;
	uint64_t rate; /* bytes/s, 0: not paced */
	uint32_t quantum;
	/* Delivery rate. */
	uint64_t limited_until; /* sn_tcp.delivered at which samples stop to be application-limited, 0: they are not */
	sn_time asked;          /* when the owner last had its chance to send */
	/* ECN (RFC 3168, RFC 8257). */
	bool ecn;           /* negotiated */
	bool ecn_ask;       /* our SYN asked */
	bool echo;          /* ACKs carry ECE */
	bool cwr_owed;      /* the next new segment carries CWR */
	uint32_t cwr_point; /* one reduction until snd_una passes it */
	bool cwr_valid;
};

/* --- cc.c: what the rest of the engine calls --- */
/* For a new record. The default takes the place of an algorithm whose own records are used up. */
void sn_cc_choose(struct sn_tcp *t, const char *name);
/* The record goes. */
void sn_cc_leave(struct sn_tcp *t);
/* The connection is established: initial window, the algorithm's init. */
void sn_cc_init(struct sn_tcp *t, sn_time now);
/* Once per ACK of outstanding data, losses marked, before sn_tcp_recovery(): rate sample, ECN, on_ack. */
void sn_cc_acked(struct sn_tcp *t, const struct sn_tcp_seg *seg, const struct sn_tcp_ackinfo *info, sn_time now);
/* Sets the pacing rate from the window. */
void sn_cc_pace(struct sn_tcp *t);
/* RFC 5681 4.1, RFC 6928 2: before sending after an idle time. */
void sn_cc_idle(struct sn_tcp *t, sn_time now);

/* --- cc_hystart.c, cc_newreno.c --- */
void sn_hystart_init(struct sn_hystart *h, uint32_t snd_nxt);
/* Slow start by what `a` acknowledges; returns the bytes left for congestion avoidance. */
uint32_t sn_slow_start(struct sn_tcp *t, struct sn_hystart *h, const struct sn_cc_ack *a);
/* Reno's window, shared by DCTCP. */
void sn_newreno_init(struct sn_tcp *t, struct sn_newreno *c);
void sn_newreno_grow(struct sn_tcp *t, struct sn_newreno *c, const struct sn_cc_ack *a);

/* --- rate.c --- */
/* The owner let room go by: samples say nothing about the network until what is in flight is delivered. */
void sn_rate_check_limited(struct sn_tcp *t);

/* --- pacing.c --- */
void sn_pace_init(struct sn_tcp *t);
void sn_pace_stop(struct sn_tcp *t);
/* `room` cut to what may leave now; 0 arms the timer. */
uint32_t sn_pace_room(struct sn_tcp *t, uint32_t room, sn_time now);
/* True: not now, the timer comes back to it. */
bool sn_pace_blocked(struct sn_tcp *t, sn_time now);
void sn_pace_sent(struct sn_tcp *t, uint32_t bytes, sn_time now);
void sn_pace_set(struct sn_tcp *t, uint64_t rate);

/* --- ecn.c --- */
enum sn_ecn_mode { SN_ECN_OFF, SN_ECN_ACCEPT, SN_ECN_ASK };
/* Flags for a SYN or SYN/ACK. */
uint8_t sn_ecn_syn_flags(struct sn_tcp *t, bool synack);
void sn_ecn_negotiate(struct sn_tcp *t, const struct sn_tcp_seg *syn);
/* A data segment, before it is queued. */
void sn_ecn_receive(struct sn_tcp *t, const struct sn_tcp_seg *seg, const struct sn_buf *b, sn_time now);
/* Adds to the flags of an outgoing segment (not SYN, not RST); true: it goes as ECT(0). */
bool sn_ecn_send(struct sn_tcp *t, const struct sn_tcp_txseg *s, bool again, uint8_t *flags);
/* An ACK with ECE: true if the window must be reduced, once per window. */
bool sn_ecn_congestion(struct sn_tcp *t);

#endif

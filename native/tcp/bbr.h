/* SPDX-License-Identifier: Apache-2.0
 *
 * BBR's model of the path and its state (draft-ietf-ccwg-bbr, version 3 rules). Included by cc.h.
 *
 *   cc_bbr.c     entry points, pacing rate, quantum, cwnd
 *   bbr_model.c  rounds, delivery signals, bounds learned from loss, ACK aggregation, min RTT filters
 *   bbr_state.c  STARTUP -> DRAIN -> PROBE_BW (DOWN, CRUISE, REFILL, UP) and PROBE_RTT
 */
#ifndef SN_TCP_BBR_H
#define SN_TCP_BBR_H

#include "sn_base.h"

struct sn_tcp;
struct sn_cc_ack;

enum sn_bbr_state {
	SN_BBR_STARTUP,  /* doubling every round until the bandwidth stops to grow or loss is heavy */
	SN_BBR_DRAIN,    /* the queue that STARTUP made goes */
	SN_BBR_DOWN,     /* PROBE_BW: slower than the path, the queue goes */
	SN_BBR_CRUISE,   /* as fast as the path, with headroom for others */
	SN_BBR_REFILL,   /* one round at full rate, so that UP starts from a full pipe */
	SN_BBR_UP,       /* faster: is there more? */
	SN_BBR_PROBE_RTT /* half the window for 200 ms: what is the round trip without a queue? */
};
/* Where the ACKs are in a bandwidth probe. */
enum sn_bbr_acks {
	SN_BBR_ACKS_INIT,
	SN_BBR_ACKS_REFILLING,
	SN_BBR_ACKS_STARTING,
	SN_BBR_ACKS_FEEDBACK,
	SN_BBR_ACKS_STOPPING
};

struct sn_bbr {
	uint8_t state, acks; /* enum sn_bbr_state, enum sn_bbr_acks */
	bool round_start, loss_round_start;
	bool full_bw_now, full_bw_reached;
	bool probe_samples; /* what is lost now is the probe's fault */
	bool probe_up_loss; /* the last probe ended by loss */
	bool idle_restart;
	bool probe_rtt_expired, probe_rtt_round_done;
	bool in_recovery;
	uint8_t full_bw_count, loss_events, probe_up_rounds;

	/* Windows in bytes; UINT32_MAX: no bound known. Rates in bytes/s; UINT64_MAX: none. */
	uint64_t bw_max[2]; /* max filter over this and the last probing cycle */
	uint64_t bw_lo, bw, bw_latest, full_bw;
	uint32_t inflight_hi, inflight_lo, inflight_latest;

	uint64_t round_end, loss_round_end, round_delivered; /* in sn_tcp.delivered */
	uint32_t round_lost;                                 /* in sn_tcp.lost_total */
	uint32_t round_count, rounds_since_probe;

	sn_time min_rtt, min_rtt_at;         /* over 10 s */
	sn_time probe_rtt_min, probe_rtt_at; /* over 5 s: asks for PROBE_RTT */
	sn_time probe_rtt_done;              /* 0: the window is not yet down */
	sn_time cycle_at, probe_wait;

	uint32_t probe_up_acks, probe_up_count; /* bytes acked; bytes for one more segment of inflight_hi */
	uint32_t prior_cwnd;

	sn_time extra_at; /* ACK aggregation: bytes above the expected since then */
	uint32_t extra_bytes, extra_max[2], extra_round;

	struct { /* what an undone reduction brings back */
		uint8_t state;
		uint64_t bw_lo;
		uint32_t inflight_lo, inflight_hi;
	} undo;
};

/* --- bbr_model.c --- */
#define SN_BBR_BETA     0.7
#define SN_BBR_HEADROOM 0.15
uint64_t sn_bbr_max_bw(const struct sn_bbr *b);
/* gain x bw x min_rtt, bytes. */
uint32_t sn_bbr_bdp(const struct sn_tcp *t, uint64_t bw, double gain);
/* The same with what delayed ACKs and bursts need on top. */
uint32_t sn_bbr_inflight(const struct sn_tcp *t, uint64_t bw, double gain);
uint32_t sn_bbr_headroom(const struct sn_tcp *t);
void sn_bbr_model_ack(struct sn_tcp *t, const struct sn_cc_ack *a);
void sn_bbr_model_done(struct sn_tcp *t, const struct sn_cc_ack *a);
void sn_bbr_update_min_rtt(struct sn_tcp *t, const struct sn_cc_ack *a);
void sn_bbr_reset_lower(struct sn_bbr *b);
void sn_bbr_start_round(struct sn_tcp *t);
bool sn_bbr_too_high(const struct sn_cc_ack *a);

/* --- bbr_state.c --- */
void sn_bbr_state_init(struct sn_tcp *t, sn_time now);
void sn_bbr_state_ack(struct sn_tcp *t, const struct sn_cc_ack *a);
void sn_bbr_probe_rtt(struct sn_tcp *t, const struct sn_cc_ack *a);
void sn_bbr_check_probe_rtt_done(struct sn_tcp *t, sn_time now);
static inline bool sn_bbr_in_probe_bw(const struct sn_bbr *b)
{
	return b->state >= SN_BBR_DOWN && b->state <= SN_BBR_UP;
}
static inline bool sn_bbr_probing(const struct sn_bbr *b)
{
	return b->state == SN_BBR_STARTUP || b->state == SN_BBR_REFILL || b->state == SN_BBR_UP;
}

#endif

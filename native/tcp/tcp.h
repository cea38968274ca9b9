/* SPDX-License-Identifier: Apache-2.0
 *
 * The native TCP engine's own records (RFC 9293). Nobody outside native/tcp includes this: sn_tcp_ops.h is the door.
 *
 * A segment's way in:  input.c (acceptability, RST, SYN, ACK range) -> up->segment -> ack.c (scoreboard.c, rto.c,
 * cc_*.c, recovery.c) -> rcvq.c (reassembly, up->data) -> state.c (FIN) -> up->acked -> output.c (ACK owed).
 * A segment's way out: ops.c send -> output.c (options, payload references) -> net/.
 *
 * Sent data lives in a list of struct sn_tcp_txseg in sequence order (txq). The scoreboard keeps these sums, so that no
 * acknowledgement walks what is in flight:
 *   pipe        bytes thought to be in the network (RFC 6675 3): sent, not SACKed, not lost; plus retransmissions
 *   sacked_out  records SACKed
 *   lost_out    records lost and not yet sent again
 *   lostq       the same records, in sequence order: what is to be sent again
 *   rtxq        records with a retransmission in the network, in the order of sending
 *   loss_edge   first record not yet judged (rack.c). Records from there on were sent once and lie in the order of
 *               sending, so that with rtxq everything in flight is ordered by time
 */
#ifndef SN_TCP_TCP_H
#define SN_TCP_TCP_H

#include "engine/engine.h"
#include "sn_abi.h"
#include "tcp/cc.h"
#include "tcp/pmtu.h"

enum sn_txseg_flag {
	SN_TXS_SACKED = 1 << 0,
	SN_TXS_LOST = 1 << 1,
	SN_TXS_RETRANS = 1 << 2, /* a retransmission is in the network */
	SN_TXS_EVER = 1 << 3,    /* was retransmitted at least once: gives no RTT sample (Karn) */
	SN_TXS_FIN = 1 << 4,     /* counts one more sequence number */
	SN_TXS_PSH = 1 << 5,
	SN_TXS_RUN =
		1 << 6, /* first record of a run of SACKed records; `run` is its last, the last's `run` the first */
	SN_TXS_APP_LIMITED = 1 << 7
};
#define SN_TXS_OWN UINT32_MAX

/* One sent and not yet acknowledged segment. */
struct sn_tcp_txseg {
	struct sn_tcp_txseg *next, *prev;
	union {
		struct sn_chunk
			*chunk;      /* holds the first byte, at `off`; one reference on every chunk that is covered */
		struct sn_buf *copy; /* off is SN_TXS_OWN: the payload, ours */
	};
	uint64_t dsn;
	sn_time sent;  /* last transmission */
	sn_time first; /* sends == 1: the one before */
	union {
		struct sn_tcp_txseg *run; /* SACKed */
		struct {
			uint32_t delivered_at, first_at; /* not SACKed: rate.c's, when it was sent */
			uint32_t in_flight;
			uint32_t lost;
		} rate;
	};
	uint32_t seq;
	uint32_t off;
	uint32_t delivered;                 /* low bits of sn_tcp.delivered when it was sent */
	uint16_t len;                       /* payload */
	uint8_t flags;                      /* enum sn_txseg_flag */
	uint8_t sends;                      /* retransmissions, saturating */
	struct sn_tcp_txseg *lnext, *lprev; /* in sn_tcp.lostq or rtxq */
	uint32_t snd_nxt;                   /* of the flow when it was sent again */
	/* What the owner's options spoke of when it was first sent: they say the same whenever it is sent again. map_len
	 * bytes, this segment's first being number map_off; map_sum: their sum, if it left in a unit. */
	uint16_t map_off, map_len;
	uint16_t map_sum;
};
_Static_assert(sizeof(struct sn_tcp_txseg) <= 128, "two cache lines");

static inline uint32_t sn_txseg_size(const struct sn_tcp_txseg *s) { return s->len + !!(s->flags & SN_TXS_FIN); }
static inline uint32_t sn_txseg_end(const struct sn_tcp_txseg *s) { return s->seq + sn_txseg_size(s); }
/* It left as a part of a unit. */
static inline bool sn_txseg_in_unit(const struct sn_tcp_txseg *s) { return s->map_len != s->len; }
/* What a record adds to pipe. */
static inline uint32_t sn_txseg_pipe(const struct sn_tcp_txseg *s)
{
	uint32_t n = s->flags & (SN_TXS_SACKED | SN_TXS_LOST) ? 0 : 1;
	return (n + !!(s->flags & SN_TXS_RETRANS)) * sn_txseg_size(s);
}

/* Congestion state. */
enum sn_tcp_ca {
	SN_CA_OPEN,
	SN_CA_RECOVERY, /* fast recovery until snd_una reaches recovery_point */
	SN_CA_LOSS      /* after a retransmission timeout, until the same point */
};

/* What the one long timer of a record stands for. */
enum sn_tcp_clock { SN_CLOCK_NONE, SN_CLOCK_RTX, SN_CLOCK_RACK, SN_CLOCK_TLP, SN_CLOCK_PERSIST, SN_CLOCK_WAIT };

/* F-RTO, RFC 5682: after a timeout, without timestamps. */
enum sn_tcp_frto {
	SN_FRTO_OFF,
	SN_FRTO_FIRST, /* the first ACK is awaited */
	SN_FRTO_HOLD,  /* it advanced: new data goes instead of retransmissions */
	SN_FRTO_SECOND /* new data went: the second ACK tells */
};

/* Fast Open on the first SYN or SYN/ACK (fastopen.c). */
enum sn_tcp_tfo {
	SN_TFO_OFF,
	SN_TFO_ASK,  /* SYN: for a cookie */
	SN_TFO_SEND, /* SYN: cookie and data */
	SN_TFO_GIVE  /* SYN/ACK: a cookie */
};

/* One segment may go in spite of cwnd. */
enum sn_tcp_probing {
	SN_PROBING_NOT,
	SN_PROBING_TAIL, /* tlp.c */
	SN_PROBING_PMTU  /* pmtu.c: and is longer than others */
};

enum {
	SN_TCP_SACK_RANGES = 4,
	SN_TCP_DUPTHRESH = 3,
	SN_TCP_QUICK_ACKS = 16 /* segments acknowledged at once where the peer may be in slow start */
};

struct sn_tcp {
	struct sn_engine *e;
	struct sn_subflow *owner; /* NULL: detached or closed, nobody is called */
	const struct sn_tcp_up *up;
	const struct sn_cc_ops *cc;
	struct sn_tcp *tw_next, *tw_prev; /* sn_tcp_stack.tw_head or orphan_head */

	uint8_t state; /* enum sn_tcp_state, written by sn_tcp_set_state() only */
	uint8_t ca;    /* enum sn_tcp_ca */
	uint8_t clock; /* enum sn_tcp_clock */
	uint8_t busy;  /* depth of calls that still need the record */
	uint8_t backoff;
	uint8_t snd_ws, rcv_ws;
	uint8_t quick;      /* segments still to be acknowledged at once */
	uint8_t unanswered; /* window probes in a row without an answer */
	uint8_t tfo;        /* enum sn_tcp_tfo */
	uint16_t early;     /* bytes that went with our SYN */
	int8_t soft;        /* enum sn_err: what ICMP said while snd_una was soft_una; 0: nothing */
	bool dead : 1;      /* given up, freed when busy is 0 */
	bool passive : 1;
	bool shared : 1; /* window accounted above */
	bool ts_on : 1, sack_on : 1, ws_on : 1;
	bool fin_wanted : 1, fin_sent : 1;
	bool fin_seen : 1; /* peer's FIN is at fin_seq */
	bool fin_done : 1; /* and in order */
	bool ack_now : 1, ack_later : 1;
	bool limited : 1;  /* the window, not the application, ended the last send */
	bool progress : 1; /* up->acked is owed */
	bool syn_resent : 1;
	bool by_cookie : 1; /* passive: the SYN/ACK was a cookie */
	bool dsack_owed : 1;
	bool want_sum : 1;  /* the owner's options or the port need the payload's sum */
	bool opt_sum : 1;   /* the owner's options do */
	bool force_rtx : 1; /* the next retransmission ignores cwnd */

	/* Sending (RFC 9293 3.3.1). */
	uint32_t iss, snd_una, snd_nxt;
	uint32_t snd_wnd, snd_wl1, snd_wl2, max_wnd;
	uint32_t peer_wnd; /* last window field, scaled */
	uint32_t mss;      /* payload bytes per segment */
	uint32_t peer_mss; /* min(peer's MSS, what the path carries), options not subtracted */
	uint32_t opt_reserve;
	uint32_t cwnd, ssthresh; /* bytes */
	uint32_t pipe, sacked_out, lost_out;
	uint32_t reno_dups; /* duplicate ACKs that stand for SACKs of a peer without SACK */
	uint32_t recovery_point;
	uint32_t prr_flight, prr_delivered,
		prr_out; /* RFC 6937, in RECOVERY: bytes in flight at its start, and since then */
	/* Loss detection by time: rack.c, RFC 8985. */
	sn_time rack;         /* send time of the newest segment known to be delivered */
	sn_time rack_rtt;     /* its round trip */
	sn_time rack_at;      /* when the first segment under suspicion will be taken for lost, 0: none */
	sn_time silent_since; /* first of the expiries in a row that nobody answered */
	sn_time rto_at;       /* RTO's deadline, while `timer` may stand for RACK or TLP */
	uint32_t rack_end;    /* end of the segment that `rack` is of */
	uint32_t rack_fack;   /* highest sequence number known to be delivered */
	uint32_t reo_round;   /* the reordering window may grow again when this is acknowledged */
	uint8_t reo_mult;     /* quarters of min_rtt in the reordering window */
	uint8_t reo_persist;  /* recoveries after which reo_mult is 1 again */
	uint8_t frto;         /* enum sn_tcp_frto */
	bool reordered : 1;   /* reordering was seen */
	bool tlp_on : 1;      /* a tail probe is out: tlp.c */
	bool tlp_again : 1;   /* it repeats old data */
	bool tlp_blind : 1;   /* no round trip was measured since the last one */
	uint8_t probing : 2;  /* enum sn_tcp_probing */
	bool undo_on : 1;     /* a reduction may still prove spurious: undo.c */
	bool undo_first : 1;  /* the first retransmission's ACK is awaited */
	uint32_t tlp_end;     /* snd_nxt when it went */
	uint32_t tlp_seg;     /* end of the segment it repeats */
	uint32_t frto_nxt;
	uint32_t undo_cwnd, undo_ssthresh;
	uint32_t undo_marker; /* snd_una at the reduction */
	uint32_t undo_seq;    /* first segment sent again since, with the timestamp undo_ts */
	uint32_t undo_ts;
	uint32_t undo_sent, undo_dsacked; /* retransmissions since, and those the peer had already */
	struct sn_tcp_txseg *txq, *txq_tail;
	struct sn_tcp_txseg *lostq, *lostq_tail, *lostq_hint, *rtxq, *rtxq_tail;
	struct sn_tcp_txseg *loss_edge;
	struct sn_tcp_txseg *sack_hint[SN_TCP_SACK_RANGES]; /* starts of runs touched lately */

	/* Receiving. */
	uint32_t irs, rcv_nxt;
	uint32_t rcv_adv;   /* right edge advertised */
	uint32_t adv_wnd;   /* last window sent, bytes */
	uint32_t rcv_acked; /* rcv_nxt of the last segment we sent */
	uint32_t rcv_mss;   /* largest segment seen: what counts as full-sized */
	uint32_t rcv_space; /* largest window */
	uint32_t rcv_tuned; /* largest window so far: rcvtune.c */
	uint32_t tune_seq, tune_rtt_seq, tune_held;
	sn_time tune_at, tune_rtt_at; /* start of the measurement */
	sn_time tune_rtt;             /* the receiver's idea of the round trip */
	sn_time last_recv;
	uint32_t fin_seq;
	uint32_t ts_recent, ts_off;
	sn_time ts_recent_at;
	struct sn_buf *ooo, *ooo_tail, *ooo_hint;
	uint32_t ooo_count;
	uint32_t prune_mark; /* rcv_nxt when buffers were short */
	uint32_t nranges;
	struct sn_sack_block range[SN_TCP_SACK_RANGES]; /* received out of order, latest first */
	struct sn_sack_block dsack;                     /* RFC 2883: duplicate to report once */

	/* Time. */
	struct sn_timer timer, delack;
	sn_time timer_at; /* the real deadline; `timer` may fire earlier and is armed again */
	sn_time srtt, rttvar, rto, min_rtt;
	sn_time last_send, syn_sent;
	sn_time answer_at; /* rate limit of answers to unacceptable segments */

	struct sn_tcp_pmtu pmtu;
	uint32_t soft_una;

	/* Delivery rate (one sample per ACK). */
	uint64_t delivered;
	uint32_t delivered_at, first_at;
	uint32_t lost_total; /* bytes ever judged lost, low bits: whoever marks a record LOST adds to it */
	uint64_t rate;       /* bytes/s */
	struct sn_cc_common ccx;

	/* Keep-alive: keepalive.c. */
	struct sn_timer keep;
	struct sn_tcp_tune tune;
	sn_time keep_heard; /* the peer answered a probe, or none was needed before */
	uint64_t keep_mark; /* segs_received when the last probe went */
	uint8_t keep_sent;  /* probes without an answer */
	bool orphan;        /* in sn_tcp_stack.orphan_head: orphan.c */

	struct sn_flow flow;
	uint16_t port;
	uint64_t bytes_sent, bytes_acked, bytes_received, bytes_retrans;
	uint64_t segs_sent, segs_received;
	uint32_t retrans, rtos;
	union sn_cc_state ccs;
};

/* --- state.c: life of a record --- */
void sn_tcp_set_state(struct sn_tcp *t, enum sn_tcp_state state);
static inline void sn_tcp_enter(struct sn_tcp *t) { t->busy++; }
/* Gives the record back. */
void sn_tcp_put(struct sn_tcp *t);
/* Ends a section; the record may be gone afterwards. */
static inline void sn_tcp_leave(struct sn_tcp *t);
/* The owner hears `closed` and forgets the record. */
void sn_tcp_disown(struct sn_tcp *t, enum sn_err err, sn_time now);
/* Frees everything the record holds; the record itself when nobody is in it. */
void sn_tcp_release(struct sn_tcp *t);
/* disown + release: the end of a flow. */
void sn_tcp_finish(struct sn_tcp *t, enum sn_err err, sn_time now);
void sn_tcp_abort(struct sn_tcp *t, enum sn_err err, sn_time now); /* RST, then the end */
void sn_tcp_time_wait(struct sn_tcp *t, sn_time now);
/* Frees the oldest record in TIME_WAIT; false if there is none. */
bool sn_tcp_time_wait_evict(struct sn_engine *e);
/* Our FIN was acknowledged. */
void sn_tcp_fin_acked(struct sn_tcp *t, sn_time now);
/* The peer's FIN is in order. */
void sn_tcp_fin_received(struct sn_tcp *t, sn_time now);
static inline bool sn_tcp_can_send(const struct sn_tcp *t)
{
	return (t->state == SN_TCP_ESTABLISHED || t->state == SN_TCP_CLOSE_WAIT) && !t->fin_sent && !t->fin_wanted;
}
static inline bool sn_tcp_can_receive(const struct sn_tcp *t)
{
	return t->state == SN_TCP_ESTABLISHED || t->state == SN_TCP_FIN_WAIT_1 || t->state == SN_TCP_FIN_WAIT_2;
}

/* --- open.c --- */
struct sn_tcp *sn_tcp_open_active(struct sn_engine *e, const struct sn_tcp_open *o, sn_time now);
struct sn_tcp *sn_tcp_open_passive(struct sn_engine *e, const struct sn_tcp_open *o, const struct sn_tcp_seg *syn,
				   sn_time now);
/* Takes over what a SYN or SYN/ACK says. */
void sn_tcp_negotiate(struct sn_tcp *t, const struct sn_tcp_seg *syn, sn_time now);
void sn_tcp_set_mss(struct sn_tcp *t);
/* The smallest shift that makes a window of so many bytes fit 16 bits. */
static inline uint8_t sn_tcp_wscale(uint32_t space)
{
	return space > 65535 ? (uint8_t)SN_MIN(16 - __builtin_clz(space), 14) : 0;
}
/* What a port carries in one segment, and what a peer says that it takes; options are not subtracted. */
uint32_t sn_tcp_own_mss(const struct sn_engine *e, uint16_t port, const struct sn_addr *remote);
uint32_t sn_tcp_peer_mss(const struct sn_tcp_seg *syn, const struct sn_addr *remote);
/* The handshake is complete. */
void sn_tcp_established(struct sn_tcp *t, sn_time now);
static inline uint32_t sn_tcp_ts(const struct sn_tcp *t, sn_time now) { return (uint32_t)(now / SN_MSEC) + t->ts_off; }

/* --- fastopen.c: RFC 7413 --- */
/* Chooses what our first SYN carries. Returns how many bytes of the first piece at o->early. */
uint32_t sn_tfo_begin(struct sn_tcp *t, const struct sn_tcp_open *o, sn_time now);
/* The SYN of a peer: is its cookie good, is there data? */
void sn_tfo_accept(struct sn_tcp *t, const struct sn_tcp_open *o, const struct sn_tcp_seg *syn, sn_time now);
/* The SYN/ACK came; `taken` bytes of ours are acknowledged with the SYN. */
void sn_tfo_answered(struct sn_tcp *t, const struct sn_tcp_seg *synack, uint32_t taken, sn_time now);
/* The option of a first SYN or SYN/ACK; returns its length. */
uint32_t sn_tfo_option(const struct sn_tcp *t, uint8_t *p);

/* --- cookie.c: RFC 4987 3.6 --- */
extern const struct sn_tcp_cookie_ops sn_tcp_cookies;

/* --- fastpath.c: sn_tcp_ops.input, input_run --- */
void sn_tcp_input(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_buf *b, sn_time now);
void sn_tcp_input_run(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_buf *chain, sn_time now);

/* --- input.c: every segment that fastpath.c does not know --- */
void sn_tcp_input_any(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_buf *b, sn_time now);

/* --- ack.c --- */
struct sn_tcp_ackinfo {
	uint32_t acked;  /* bytes newly acknowledged */
	uint32_t sacked; /* bytes newly SACKed */
	uint32_t prior_pipe;
	uint32_t delivered; /* bytes newly known to be delivered, by ACK or SACK */
	sn_time rtt;        /* sample of a segment sent once, 0: none */
	bool lost;          /* records were newly judged lost */
	bool orig;          /* something sent once, before the timeout, was delivered */
	bool dsack;         /* the ACK reports `dup` as received twice */
	bool has_ecr;
	uint32_t ecr; /* echoed timestamp */
	uint32_t prior_fack;
	struct sn_sack_block dup;
	bool fin;                 /* our FIN is covered */
	uint32_t lost_before;     /* sn_tcp.lost_total before this ACK */
	uint32_t prior_delivered; /* rate sample: state when the newest delivered segment was sent */
	uint32_t prior_at, send_time, sent_in_flight;
	uint32_t sent_lost;
	bool has_rate, app_limited;
};
void sn_tcp_ack(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now);
/* Bookkeeping common to ACK and SACK of a record. */
void sn_tcp_delivered(struct sn_tcp *t, struct sn_tcp_txseg *s, struct sn_tcp_ackinfo *info, sn_time now);

/* --- scoreboard.c --- */
/* Lets go of the payload of a record, which may lie in several chunks. */
void sn_txseg_drop_refs_many(struct sn_tcp_txseg *s);
/* Unlinks the first record, drops its references and frees it. */
void sn_tcp_txq_drop_head(struct sn_tcp *t);
void sn_tcp_txq_free(struct sn_tcp *t);
bool sn_tcp_txq_own(struct sn_tcp *t);                         /* sn_tcp_ops.own */
void sn_txseg_read(const struct sn_tcp_txseg *s, uint8_t *to); /* copies the payload */
/* The first `len` bytes of a record that is not SACKed were acknowledged: lets go of them. */
void sn_txseg_trim(struct sn_tcp *t, struct sn_tcp_txseg *s, uint32_t len);
/* Cuts a record that is not SACKed behind `len` bytes of payload; the rest becomes a record of its own, of which everything
 * else is true too. False: no record or buffer for it. */
bool sn_txseg_split(struct sn_tcp *t, struct sn_tcp_txseg *s, uint32_t len);
void sn_tcp_sack_apply(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_tcp_ackinfo *info, sn_time now);
/* Takes a record, or its retransmission, for lost. */
void sn_tcp_mark(struct sn_tcp *t, struct sn_tcp_txseg *s);
void sn_tcp_mark_head_lost(struct sn_tcp *t);
/* After a timeout: lost is the first record and whatever was sent not later than `before`; everything if the peer
 * reneged, and its SACKs are forgotten. */
void sn_tcp_mark_timeout(struct sn_tcp *t, sn_time before);
/* Takes the verdict back on everything that waits to be sent again. */
void sn_tcp_unmark_lost(struct sn_tcp *t);
/* The record was handed to the network again. */
void sn_tcp_note_retransmit(struct sn_tcp *t, struct sn_tcp_txseg *s);
/* pipe, less what duplicate ACKs of a peer without SACK stand for. */
static inline uint32_t sn_tcp_in_flight(const struct sn_tcp *t)
{
	uint32_t left = t->reno_dups * t->mss;
	return t->pipe > left ? t->pipe - left : 0;
}

/* --- rack.c: RFC 8985 6 --- */
/* A record is newly delivered. */
void sn_tcp_rack_update(struct sn_tcp *t, const struct sn_tcp_txseg *s, const struct sn_tcp_ackinfo *info, sn_time now);
/* Takes for lost what was sent long enough before something delivered; sets rack_at for the rest. True if any was. */
bool sn_tcp_rack_detect(struct sn_tcp *t, sn_time now);
sn_time sn_tcp_rack_patience(const struct sn_tcp *t); /* round trip and reordering window */
void sn_tcp_rack_dsack(struct sn_tcp *t);
void sn_tcp_rack_recovered(struct sn_tcp *t);

/* --- tlp.c: RFC 8985 7 --- */
bool sn_tcp_tlp_wanted(const struct sn_tcp *t);
static inline sn_time sn_tcp_tlp_time(const struct sn_tcp *t, sn_time now);
void sn_tcp_tlp_send(struct sn_tcp *t, sn_time now);
/* Returns true if info's D-SACK belongs to the probe. */
bool sn_tcp_tlp_ack(struct sn_tcp *t, const struct sn_tcp_seg *seg, const struct sn_tcp_ackinfo *info, sn_time now);

/* --- undo.c --- */
/* Before on_loss or on_rto: what a spurious reduction is taken back to. */
void sn_tcp_undo_begin(struct sn_tcp *t);
void sn_tcp_undo_sent(struct sn_tcp *t, const struct sn_tcp_txseg *s, sn_time now);
void sn_tcp_undo_dsack(struct sn_tcp *t, const struct sn_sack_block *b);
void sn_tcp_undo_check(struct sn_tcp *t, const struct sn_tcp_ackinfo *info, sn_time now);
void sn_tcp_undo(struct sn_tcp *t, const struct sn_tcp_ackinfo *info, sn_time now);

/* --- recovery.c --- */
void sn_tcp_recovery(struct sn_tcp *t, const struct sn_tcp_ackinfo *info, bool dup, sn_time now);
void sn_tcp_enter_loss(struct sn_tcp *t, sn_time now);
void sn_tcp_rack_expired(struct sn_tcp *t, sn_time now);
/* F-RTO let the owner send first: if it had nothing, retransmission goes on. */
void sn_tcp_frto_settle(struct sn_tcp *t, sn_time now);
/* Sends lost records again as far as cwnd allows. */
void sn_tcp_send_lost(struct sn_tcp *t, sn_time now);

/* --- output.c --- */
enum {
	SN_TCP_COPY_MAX = 1536
}; /* payload of more than SN_TX_REFS pieces is copied behind its header up to this size */
/* Each returns false if no buffer could be had. */
bool sn_tcp_emit_syn(struct sn_tcp *t, sn_time now);
/* The first one, with t->early bytes of a piece. */
bool sn_tcp_emit_first_syn(struct sn_tcp *t, struct sn_chunk *early, sn_time now);
struct sn_tcp_syn_options {
	uint16_t mss;
	bool ts, sack, ws;
	uint8_t shift;
	uint32_t ts_val, ts_ecr;
};
/* Returns the bytes written, a multiple of 4. */
uint32_t sn_tcp_put_syn_options(uint8_t *p, const struct sn_tcp_syn_options *o);
/* Takes the window of a SYN/ACK that went without the record for advertised. */
void sn_tcp_promise(struct sn_tcp *t);
bool sn_tcp_emit_ack(struct sn_tcp *t, uint32_t seq, sn_time now);
bool sn_tcp_emit_rst(struct sn_tcp *t, sn_time now);
/* A record again. */
bool sn_tcp_emit_again(struct sn_tcp *t, struct sn_tcp_txseg *s, sn_time now);
/* A new record: payload, dsn, len, flags and map are set. It becomes the last of the queue. */
bool sn_tcp_emit_new(struct sn_tcp *t, struct sn_tcp_txseg *s, sn_time now);
/* Several new ones as one unit: linked by `next`, of equal length but for the last, `n` of them. */
bool sn_tcp_emit_unit(struct sn_tcp *t, struct sn_tcp_txseg *first, uint32_t n, sn_time now);
/* Queues and sends a FIN record. */
void sn_tcp_emit_fin(struct sn_tcp *t, sn_time now);
/* Settles the ACKs that an input left owed. */
void sn_tcp_ack_owed(struct sn_tcp *t, sn_time now);
/* The window that an ACK sent now would carry, bytes. */
uint32_t sn_tcp_window(struct sn_tcp *t);

/* --- send.c --- */
uint32_t sn_tcp_room(struct sn_tcp *t, sn_time now);
int32_t sn_tcp_send(struct sn_tcp *t, struct sn_chunk *first, uint32_t off, uint32_t len, uint64_t dsn, sn_time now);

/* --- timers.c --- */
void sn_tcp_timers_init(struct sn_tcp *t);
void sn_tcp_timers_stop(struct sn_tcp *t);
static inline void sn_tcp_clock_set(struct sn_tcp *t, enum sn_tcp_clock clock, sn_time at);
static inline void sn_tcp_clock_stop(struct sn_tcp *t);
static inline bool sn_tcp_rtx_running(const struct sn_tcp *t)
{
	return t->clock >= SN_CLOCK_RTX && t->clock <= SN_CLOCK_TLP;
}
/* Retransmission timer from now, with the present backoff. */
void sn_tcp_rtx_restart(struct sn_tcp *t, sn_time now);
/* Sets the clock to what is due first: RACK's timer, the tail probe or RTO. */
void sn_tcp_rtx_arm(struct sn_tcp *t, sn_time now);
static inline void sn_tcp_delack_arm(struct sn_tcp *t, sn_time now);

/* --- keepalive.c --- */
void sn_tcp_keep_fire(struct sn_timer *timer, sn_time now);
void sn_tcp_tune(struct sn_tcp *t, const struct sn_tcp_tune *tune, sn_time now); /* sn_tcp_ops.tune */

/* --- orphan.c --- */
void sn_tcp_detach(struct sn_tcp *t, sn_time now); /* sn_tcp_ops.detach */
void sn_tcp_orphan_leave(struct sn_tcp *t);

/* --- rto.c --- */
static inline void sn_tcp_rtt_sample(struct sn_tcp *t, sn_time rtt);
/* RFC 4015 3.3: after a spurious timeout the long sample counts in full. */
void sn_tcp_rtt_reseed(struct sn_tcp *t, sn_time rtt);
sn_time sn_tcp_rto(const struct sn_tcp *t); /* backed off and clamped */

/* --- rcvq.c --- */
/* Takes a segment's payload: trims, queues or delivers. */
void sn_tcp_receive(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_buf *b, sn_time now);
void sn_tcp_rcvq_free(struct sn_tcp *t);

/* --- rcvtune.c --- */
/* In-order data arrived: the window grows with what the application takes in a round trip. */
void sn_tcp_rcv_tune(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now);
/* Right edge up to which bytes are taken. */
uint32_t sn_tcp_rcv_edge(const struct sn_tcp *t);
/* SACK blocks to report, D-SACK first; at most n. */
uint32_t sn_tcp_sack_blocks(const struct sn_tcp *t, struct sn_sack_block *out, uint32_t n);

#include "tcp/hot.h"

#endif

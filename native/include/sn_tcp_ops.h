/* SPDX-License-Identifier: Apache-2.0
 *
 * The TCP adaptation layer: what MPTCP asks of a TCP engine (struct sn_tcp_ops) and what the engine tells MPTCP
 * (struct sn_tcp_up). native/tcp is one engine behind it. Nothing here knows MPTCP's rules, nothing above knows TCP's.
 *
 * One struct sn_tcp is one subflow's TCP. Everything runs on the worker's thread; `now` is passed in; callbacks may be
 * called from inside input(), timer expiry and send(), never from anywhere else. A callback may call down again
 * (send, close, reset, ack_now) except `options` and `window`, which must be pure reads.
 */
#ifndef SN_TCP_OPS_H
#define SN_TCP_OPS_H

#include "sn_base.h"
#include "sn_buf.h"
#include "wire/icmp_error.h"
#include "wire/tcp.h"

struct sn_engine;
struct sn_tcp;     /* the TCP engine's record */
struct sn_subflow; /* MPTCP's record, opaque to TCP */

/* What kind of segment options are wanted for. */
enum sn_seg_kind {
	SN_SEG_SYN,
	SN_SEG_SYNACK,
	SN_SEG_ACK,  /* any ACK without payload, the third of a handshake included; also FIN */
	SN_SEG_DATA, /* len payload bytes starting at dsn */
	SN_SEG_RST
};
struct sn_opt_want {
	enum sn_seg_kind kind;
	uint32_t room; /* bytes left for MPTCP options, a multiple of 4 */
	/* DATA: what the options speak of. It is the segment's payload or, if `unit`, that of all segments of the unit that
	 * it left in, each of which carries the same options; sent again, they still speak of the same bytes. */
	uint32_t ssn;         /* relative sequence number of the first byte (1 is the first after SYN) */
	uint32_t len;         /* bytes */
	uint64_t dsn;         /* of the first byte, as given to send() */
	uint16_t payload_sum; /* if the subflow asked for checksums: ones' complement sum of the bytes, not inverted */
	bool unit;
	bool retransmit;
	bool sack; /* ACK: room that is left goes to selective acknowledgments */
};

struct sn_tcp_up {
	/* Handshake done (client: SYN/ACK accepted; server: third ACK accepted). The client's third ACK is sent right after. */
	void (*established)(struct sn_subflow *, sn_time now);
	/* An acceptable segment arrived: its options, before its payload is queued. `payload` (or NULL) is the buffer that
	 * will be queued: record the mapping in it. Segments that were received as one run (input_run) are told once, with the
	 * length of all and the first buffer. Called for SYN/ACK and third ACK before they take effect.
	 * Returns false to have the segment dropped; the callee may have reset the subflow. */
	bool (*segment)(struct sn_subflow *, const struct sn_tcp_seg *seg, struct sn_buf *payload, sn_time now);
	/* In-order payload, ownership passes; a chain by `next`, never overlapping what was given before. */
	void (*data)(struct sn_subflow *, struct sn_buf *chain, sn_time now);
	/* Something sent was acknowledged or room grew: a time to schedule. */
	void (*acked)(struct sn_subflow *, sn_time now);
	/* Fill in MPTCP options at `out`; returns bytes written (multiple of 4, <= want->room). */
	uint32_t (*options)(struct sn_subflow *, const struct sn_opt_want *want, uint8_t *out);
	/* Receive window to advertise now, bytes. With a shared window its origin is the data-level acknowledgement. */
	uint32_t (*window)(struct sn_subflow *);
	/* A retransmission timeout fired (count in a row). Returns false to give the subflow up (reset it). */
	bool (*rto)(struct sn_subflow *, uint32_t in_a_row, sn_time now);
	/* The peer's FIN is in order (all data before it was delivered). */
	void (*fin)(struct sn_subflow *, sn_time now);
	/* Last word: the record is gone or lives on only in TIME_WAIT without an owner. err: SN_OK after an orderly close,
	 * SN_E_RESET, SN_E_REFUSED, SN_E_TIMEDOUT, SN_E_HOSTUNREACH, SN_E_NETUNREACH, SN_E_ABORTED. */
	void (*closed)(struct sn_subflow *, enum sn_err err, sn_time now);
	/* Asked only while buffers are short: may in-order data be taken, ssn being the relative sequence number of its first
	 * byte? What is refused was not acknowledged and comes again. May be NULL. */
	bool (*admit)(struct sn_subflow *, const struct sn_buf *b, uint32_t ssn);
	/* Fast Open (RFC 7413). The peer's SYN/ACK acknowledged the first `len` bytes of what went with our SYN; before
	 * `established`. Relative sequence numbers count from behind them. */
	void (*early_taken)(struct sn_subflow *, uint32_t len, sn_time now);
	/* What came with a SYN whose cookie is good, before anything else; ownership passes. Counts in no relative sequence
	 * number. The handshake is not over. */
	void (*early_data)(struct sn_subflow *, struct sn_buf *b, sn_time now);
	/* New data is about to be sent: how many of its `len` bytes may have the same options, and so be cut into segments
	 * only by the port? Less than two segments: each is asked for on its own. NULL: all. */
	uint32_t (*unit)(const struct sn_subflow *, uint64_t dsn, uint32_t len);
	/* TCP could send without having been answered (pacing, a tail probe): a time to schedule as well. NULL: as `acked`. */
	void (*room)(struct sn_subflow *, sn_time now);
};

/* Everything needed to open a flow. */
struct sn_tcp_open {
	struct sn_flow flow;
	uint16_t port; /* index of the local port (NIC) to leave by */
	struct sn_subflow *owner;
	const struct sn_tcp_up *up;
	const char *cc;     /* "cubic" | "newreno" | "bbr" | "dctcp"; NULL: default */
	uint32_t isn;       /* RFC 6528, made by the caller through sn_engine_isn() */
	uint32_t rcv_space; /* largest window that will ever be advertised: chooses the window scale */
	/* RFC 7413. Active: asks for a cookie, or sends `early` (or NULL) with the SYN if there is one; its first piece, as
	 * much as fits. Passive: gives cookies and takes data. */
	bool fastopen;
	struct sn_chunk *early;
	bool answered; /* passive: a cookie, which is `isn`, was the SYN/ACK */
};

/* SYN cookies (RFC 4987 3.6): SYN/ACKs that leave nothing behind. What the handshake agreed on is told by the third ACK. */
enum sn_cookie {
	SN_COOKIE_BAD,
	SN_COOKIE_LATER, /* a segment of somebody who has a cookie, but not his first */
	SN_COOKIE_GOOD
};
struct sn_tcp_cookie_ops {
	/* The sequence number to answer a SYN with. */
	uint32_t (*make)(const struct sn_engine *, const struct sn_flow *, const struct sn_tcp_seg *syn, sn_time now);
	/* Sends the SYN/ACK: o->isn is the cookie, `wnd` the window, `opts` the owner's options (padded). */
	void (*send)(struct sn_engine *, const struct sn_tcp_open *o, const struct sn_tcp_seg *syn, uint32_t wnd,
		     const uint8_t *opts, uint32_t opt_len, sn_time now);
	/* Is what this ACK acknowledges a cookie of ours? Fills in the SYN as far as it is remembered, for accept(). */
	enum sn_cookie (*open)(const struct sn_engine *, const struct sn_flow *, const struct sn_tcp_seg *ack,
			       struct sn_tcp_seg *syn, sn_time now);
};

struct sn_tcp_estimate {
	sn_time srtt, rttvar, rto, min_rtt; /* 0: no sample yet */
	uint32_t cwnd, in_flight;           /* bytes */
	uint32_t ssthresh;
	uint32_t mss;           /* payload bytes per full segment, MPTCP option reserve subtracted */
	uint32_t pmtu;          /* what the path is taken to carry, L3 bytes */
	uint64_t delivery_rate; /* bytes/s, 0: unknown */
	uint64_t bytes_sent, bytes_acked, bytes_received, bytes_retrans;
	uint64_t segs_sent, segs_received, retrans, rtos;
	uint8_t state; /* enum sn_tcp_state */
};

/* What nobody needs but people. */
struct sn_tcp_details {
	const char *cc;
	uint64_t pacing_rate; /* bytes/s, 0: not paced */
	uint64_t delivered;
	uint32_t snd_wnd, rcv_wnd;      /* bytes, as last advertised */
	uint32_t unacked, lost, sacked; /* bytes; segments */
	uint32_t rcv_ooo;               /* buffers out of order */
	uint8_t ca, backoff, snd_wscale, rcv_wscale;
	uint8_t options; /* enum sn_tcp_option */
	bool reordering;
	sn_time last_sent, last_recv;
};

struct sn_tcp_sent {
	sn_time at;      /* last transmission */
	uint32_t before; /* transmissions before that */
	uint32_t len;    /* bytes from the one asked for to the end of the segment */
};

/* What an application may set of a flow; 0: off. */
struct sn_tcp_tune {
	sn_time keep_idle, keep_interval; /* keep-alive, RFC 1122 4.2.3.6 */
	uint8_t keep_count;
	sn_time user_timeout; /* takes the place of R2 (RFC 9293 3.8.3, RFC 5482) */
};

enum sn_tcp_close { SN_TCP_CLOSE_ORDERLY, SN_TCP_CLOSE_RESET };

struct sn_tcp_ops {
	const char *name;
	/* Active open: takes a record, inserts it in the demultiplexer, sends SYN. NULL: limit reached. */
	struct sn_tcp *(*open)(struct sn_engine *, const struct sn_tcp_open *, sn_time now);
	/* Passive open for a SYN that the owner accepted: takes a record in SYN_RCVD and sends SYN/ACK, unless it was answered
	 * by a cookie. */
	struct sn_tcp *(*accept)(struct sn_engine *, const struct sn_tcp_open *, const struct sn_tcp_seg *syn,
				 sn_time now);
	/* One segment for this flow. buf->data/len cover the TCP payload already; ownership passes. */
	void (*input)(struct sn_tcp *, const struct sn_tcp_seg *, struct sn_buf *, sn_time now);
	/* Several at once that follow each other, at least two, in a chain by `next`: header and options are the same for
	 * all, but for the number and PSH, which only the last may have. seg is the first's, with the last's flags and the
	 * length of all. */
	void (*input_run)(struct sn_tcp *, const struct sn_tcp_seg *, struct sn_buf *chain, sn_time now);
	/* Payload bytes that may be sent right now: min(cwnd - in flight, peer window unless shared). */
	uint32_t (*room)(struct sn_tcp *, sn_time now);
	/* Sends `len` (<= room) bytes at `offset` into `first` and on through first->next; dsn belongs to the first byte.
	 * Splits into segments and emits at once, keeps references for retransmission. Returns bytes taken (records may run
	 * out) or an error. */
	int32_t (*send)(struct sn_tcp *, struct sn_chunk *first, uint32_t offset, uint32_t len, uint64_t dsn,
			sn_time now);
	/* The advertised window may have grown: sends a window update if it is worth one. */
	void (*credit)(struct sn_tcp *, sn_time now);
	/* Sends a pure ACK now. */
	void (*ack_now)(struct sn_tcp *, sn_time now);
	/* Sends an ACK-eliciting empty segment below snd_una (window probe, keepalive). */
	void (*probe)(struct sn_tcp *, sn_time now);
	void (*tune)(struct sn_tcp *, const struct sn_tcp_tune *, sn_time now);
	/* The path is known to work again: forgets the backed-off timer and sends what was lost now. */
	void (*kick)(struct sn_tcp *, sn_time now);
	/* Half-close: FIN after everything sent so far. */
	void (*fin)(struct sn_tcp *, sn_time now);
	/* RST now and forget: `closed` is called with SN_E_ABORTED before it returns unless owner was detached. */
	void (*reset)(struct sn_tcp *, sn_time now);
	/* The owner goes away; TCP finishes the close on its own (TIME_WAIT) and calls nobody. Unsent references are dropped
	 * only when acknowledged or reset. */
	void (*detach)(struct sn_tcp *, sn_time now);
	/* Copies everything that is not yet acknowledged, so that this flow refers to no chunk any more: what was DATA_ACKed by
	 * way of other subflows goes back to the application while this one still retransmits. False: no buffers. */
	bool (*own)(struct sn_tcp *);
	/* True: the peer's window is accounted above (MPTCP shared window): room() ignores it, out-of-window checks on
	 * receive use `rcv_slack` bytes beyond what was advertised. opt_reserve: bytes of MPTCP options on data segments. */
	void (*set_shared_window)(struct sn_tcp *, bool on, uint32_t opt_reserve);
	void (*estimate)(const struct sn_tcp *, struct sn_tcp_estimate *);
	void (*details)(const struct sn_tcp *, struct sn_tcp_details *);
	const struct sn_flow *(*flow)(const struct sn_tcp *);
	uint32_t (*peer_window)(const struct sn_tcp *); /* last window field received, scaled, bytes */
	/* True while every byte sent was acknowledged at subflow level. */
	bool (*idle)(const struct sn_tcp *);
	/* What is known of the segment with this byte, looked for among the oldest that are not acknowledged. False: it is not
	 * among them. May be NULL: nothing is sent over again before a timeout. */
	bool (*sent_at)(const struct sn_tcp *, uint64_t dsn, struct sn_tcp_sent *);
	/* Buffers are short: drops out-of-order queues of more than `most` buffers that wait for the same byte as at the last
	 * call, and all of more than `hog`. May be NULL. */
	void (*prune)(struct sn_engine *, uint32_t most, uint32_t hog);
	/* Nobody answers at this next hop of `port`, however often it is asked: flows through it that are still in SYN_SENT
	 * end with SN_E_HOSTUNREACH, established ones go on (RFC 1122 4.2.3.9: soft). May be NULL. */
	void (*unreachable)(struct sn_engine *, uint16_t port, const struct sn_addr *hop, sn_time now);
	const struct sn_tcp_cookie_ops *cookie; /* NULL: there are none */
	/* Somebody on the path says that a segment of this flow did not get through. Believed only if the quoted sequence number
	 * is in flight. May be NULL. */
	void (*error)(struct sn_tcp *, const struct sn_icmp_error *, sn_time now);
};

/* Or'ed into the opt_reserve of set_shared_window: the options on data carry a checksum, so want.payload_sum is needed
 * even where the port computes TCP checksums itself. */
#define SN_TCP_RESERVE_SUM 0x80000000u

/* Registry by name: "native" today. NULL if there is none of that name. */
const struct sn_tcp_ops *sn_tcp_ops_find(const char *name);
extern const struct sn_tcp_ops sn_tcp_native_ops;

#endif

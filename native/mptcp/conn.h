/* SPDX-License-Identifier: Apache-2.0
 *
 * Records of the MPTCP layer and what its files offer each other.
 *
 * A connection (struct sn_conn) has one to SN_MAX_SUBFLOWS subflows (struct sn_subflow), each above one struct sn_tcp.
 * Plain TCP and fallback are a connection with one subflow, no options and data sequence numbers that nobody sees.
 *
 * Rule of work: callbacks from TCP only note what happened and call sn_conn_wake(); everything that ends a connection,
 * talks to the application or sends new data happens in sn_conn_work(), called from sn_mptcp_run(). So no connection is
 * freed while TCP is in the middle of a call. Subflow records are freed in up->closed, nowhere else.
 */
#ifndef SN_MPTCP_CONN_H
#define SN_MPTCP_CONN_H

#include "engine/engine.h"
#include "sn_abi.h"
#include "sn_base.h"

enum {
	SN_DSS_RESERVE =
		24, /* DSS with 32-bit DATA_ACK, 64-bit DSN, with or without checksum; also MP_CAPABLE + data */
	/* the same with 64-bit DATA_ACK */
	SN_DSS_RESERVE_WIDE = 28,
	SN_CHUNK_MAX = 65536,   /* larger sends are cut: the application gets its memory back piece by piece */
	SN_SENT_MAX = 1 << 18,  /* bytes that one sent record may span */
	SN_RCV_START = 1 << 18, /* receive buffer of a new connection */
	SN_RCV_TIGHT = 1 << 16, /* what it may queue while buffers are short */
	SN_MAX_REMOTES = 8,     /* addresses of the peer remembered per connection */
	SN_JOIN_ACK_TRIES = 6,
	SN_ADD_ADDR_TRIES = 3,
	SN_SYNACK_TRIES = 4, /* timeouts of a SYN/ACK: 31 s in all with an initial one of 1 s */
	SN_PATH_TRIES = 4,   /* failed joins over one pair of addresses that never worked */
	SN_PATH_EAGER = 90,
	SN_STALE_SRTTS = 4,    /* round trips of silence that make a subflow stale */
	SN_SYN_TRIES_MPTCP = 2 /* lost SYNs with MP_CAPABLE before one without is tried */
};
#define SN_REFUSE_MAX     (500 * SN_MSEC) /* how long a subflow is held up for want of buffers */
#define SN_CLOSE_TIMEOUT  (120 * SN_SEC)  /* orphans, and connections that wait for a new subflow */
#define SN_PATH_AGAIN     (700 * SN_MSEC) /* for SN_PATH_EAGER tries, then SN_PATH_LATER */
#define SN_PATH_LATER     (10 * SN_SEC)
#define SN_STALE_LEAST    (100 * SN_MSEC) /* and so long at least */
#define SN_PATH_PROVEN    (2 * SN_SEC)    /* a subflow that lived so long proves its path */
#define SN_FINISH_TIMEOUT (20 * SN_SEC)   /* subflows still open after both DATA_FINs were acknowledged */

/* MP_TCPRST reasons, RFC 8684 3.6. */
enum sn_rst_reason {
	SN_RST_UNSPECIFIED = 0,
	SN_RST_PROTOCOL = 1,
	SN_RST_RESOURCES = 2,
	SN_RST_PROHIBITED = 3,
	SN_RST_OUTSTANDING = 4,
	SN_RST_PERFORMANCE = 5,
	SN_RST_MIDDLEBOX = 6,
	SN_RST_NONE = 0xff
};
enum { SN_RST_TRANSIENT = 1 /* T flag */ };

enum sn_sf_kind {
	SN_SF_PLAIN,   /* no MPTCP options */
	SN_SF_CAPABLE, /* the connection's first subflow */
	SN_SF_JOIN
};
enum sn_sf_state {
	SN_SF_OPENING, /* TCP handshake */
	SN_SF_CONFIRM, /* join we opened: third ACK sent, the fourth packet not seen */
	SN_SF_UP,      /* data may be sent */
	SN_SF_LEAVING  /* FIN sent or received: nothing new is sent here */
};

/* Options asked for on the next pure ACK of a subflow. */
enum sn_sf_owe {
	SN_OWE_ADD_ADDR = 1, /* conn->ann */
	SN_OWE_ECHO = 2,     /* sf->echo */
	SN_OWE_REMOVE = 4,   /* conn->removed */
	SN_OWE_FAIL = 8,
	SN_OWE_FASTCLOSE = 16, /* on the RST */
	SN_OWE_PRIO = 32,
	SN_OWE_INFINITE = 64 /* on data, after MP_FAIL: sf->infinite_ssn */
};

/* A join's origin, for counting failures: endpoint 0..15, remote 16.., one more port of the first pair of addresses, the
 * re-join of a connection without subflow; a policy outside looks after its own. */
enum { SN_WHY_REMOTE = 16, SN_WHY_POLICY = 0xfc, SN_WHY_PORTS = 0xfd, SN_WHY_REJOIN = 0xfe, SN_WHY_PEER = 0xff };

/* sn_conn.ann_cur of an address that a policy outside had announced: no endpoint of the table. */
enum { SN_ANN_POLICY = SN_MAX_ENDPOINTS };

struct sn_subflow {
	struct sn_conn *conn;
	struct sn_tcp *tcp;
	struct sn_flow flow;
	uint16_t port;       /* NIC port */
	uint8_t slot;        /* conn->sf[slot] */
	uint8_t kind, state; /* enum sn_sf_kind, sn_sf_state */
	bool active;         /* we sent the SYN */
	bool backup;         /* in effect: either of the two below */
	bool peer_backup;    /* the peer asked for it: B of its MP_JOIN, MP_PRIO */
	bool our_backup;     /* we did */
	bool stale;
	bool shared;      /* TCP was told that the window is shared */
	bool bare;        /* the last segment had no MPTCP option */
	bool sent_any;    /* data was sent here */
	bool late, owns;  /* a timeout without an answer since; TCP sends from copies of its own */
	bool silent;      /* no answer for longer than the path takes (path.c): nothing new goes there */
	uint8_t silences; /* intervals without an answer, in a row */
	uint8_t local_id, remote_id;
	uint8_t why;
	bool hurry;          /* a join over a path that worked: no long wait for its SYN/ACK */
	uint8_t owe;         /* enum sn_sf_owe */
	uint8_t rst_reason;  /* for MP_TCPRST on our RST */
	uint8_t peer_reason; /* MP_TCPRST of the peer's RST */
	bool peer_transient; /* its T flag */
	bool peer_reset;     /* the peer sent RST: it was not an ICMP error of somebody on the way */
	uint8_t peer_wscale;
	uint8_t tries;         /* third ACKs of a join */
	uint32_t infinite_ssn; /* the segment that carries the infinite mapping; 0: not sent yet */
	uint64_t infinite_dsn; /* where it begins */
	uint64_t fail_dsn;     /* for MP_FAIL: where the mapping with the wrong checksum begins */
	uint64_t told_nxt;     /* the last DATA_ACK that went out here */
	sn_time since;         /* when data became possible */
	sn_time refused;       /* buffers short: when data was first refused, 0: it is taken */

	union {
		struct { /* a join before it is up */
			uint32_t local_nonce, remote_nonce;
			uint64_t hmac64;  /* for our SYN/ACK */
			uint8_t hmac[20]; /* of the third ACK, ours or expected */
		};
		struct sn_mp_add_addr echo; /* up */
	};

	/* Mapping in use: DSS maps are applied when their bytes are in order. */
	uint32_t rcv_ssn;                  /* relative sequence number of the next in-order byte */
	uint32_t plain_base;               /* after a fallback: data minus subflow sequence number of every byte */
	bool map_on, map_fin, map_sum_fin; /* map_sum_fin: the checksum counts the DATA_FIN */
	uint16_t map_csum;
	uint32_t map_ssn, map_len; /* map_len without DATA_FIN */
	uint64_t map_dsn;
	uint32_t sum, summed;            /* DSS checksum so far, bytes in it */
	struct sn_buf *held, *held_tail; /* waiting for the checksum of their mapping */
	struct sn_buf
		*ooo_hint; /* where this subflow's last out-of-order buffer went, valid while ooo_hint_dsn > rcv_nxt */
	uint64_t ooo_hint_dsn;

	sn_time heard, kicked; /* last progress or the first segment after idleness; last kick */
	union {
		struct sn_timer t_join; /* a join before it is up: third ACK again until the fourth packet */
		struct sn_timer t_path; /* up: watches over what is in flight, asks a silent path (path.c) */
	};
};

/* What was sent where, in data sequence order: for reinjection. */
struct sn_sent {
	struct sn_sent *next;
	uint64_t dsn;
	uint32_t len;
	uint32_t redone;   /* bytes from the start that were sent again */
	uint16_t carriers; /* bit per subflow slot */
	bool need;         /* to be sent again elsewhere */
	uint8_t extra_slot;
	sn_time extra; /* last extra copy (mend.c) of the beginning, by extra_slot; 0: none */
};

/* Failed joins over one path: SN_PATH_TRIES of them end it, unless it once worked. */
struct sn_path_try {
	uint8_t fails; /* in a row */
	bool worked;   /* it carried a subflow: tried again every SN_PATH_AGAIN */
	bool over;     /* the peer does not want it */
	sn_time tried; /* last try */
	sn_time next;  /* no new try before */
};

/* Does a listener on `l` take what comes for `addr` (or for every address that `addr` stands for)? */
static inline bool sn_laddr_covers(const struct sn_addr *l, const struct sn_addr *addr)
{
	return sn_addr_is_any6(l) || (sn_addr_is_any4(l) && sn_addr_is_v4(addr)) || sn_addr_eq(l, addr);
}

/* An address that the peer announced. */
struct sn_remote {
	bool used;
	bool accepted; /* within add_addr_accepted */
	uint8_t id;
	uint16_t port; /* 0: the initial one */
	struct sn_addr addr;
	struct sn_path_try path;
};

struct sn_conn {
	struct sn_engine *e;
	const struct sn_tcp_ops *ops;
	const struct sn_sched_ops *sched;
	uint8_t cc; /* enum sn_cc_id */
	struct {
		struct sn_conn *next, *prev;
		struct sn_conn_list *in;
	} link; /* run or blocked list */
	struct sn_conn *token_next;
	struct sn_conn *half_next, *half_prev; /* sn_mptcp.half_head */
	struct sn_listener *listener;          /* while pending there */
	uint32_t id;
	uint32_t slot; /* channel; SN_SLAB_NONE: nobody to tell */
	uint64_t user; /* CONNECT's or the listener's */
	uint8_t state; /* enum sn_conn_state */
	enum sn_err err, last_err;
	sn_time opened;
	sn_time fail_at;     /* MP_FAIL was sent */
	struct sn_flow flow; /* the first subflow's */

	bool server, mptcp, fell_back, csum;
	bool keyed;        /* remote key known */
	bool fully;        /* peer known to speak MPTCP: RFC 8684 fully established */
	bool csum_good;    /* a DSS checksum was right once */
	bool wide_ack;     /* data came with 64-bit numbers and is acknowledged with 64 bits (RFC 8684 3.3.2) */
	bool joined;       /* a second subflow existed: no fallback any more */
	bool reinjected;   /* connection-level retransmission happened: no fallback any more */
	bool peer_no_join; /* C flag: not to the initial address */
	bool hashed;       /* in the token table */
	bool half;         /* in the list of handshakes under way */
	/* RFC 8684 3.7, one subflow with wrong checksums: data keeps its mappings and DATA_ACKs until the infinite
	 * mapping comes, which takes the place of the next new data's. */
	bool failing;      /* we sent MP_FAIL: checksums are not looked at any more */
	bool infinite_due; /* we received it: our next new data carries an infinite mapping */
	bool no_option;    /* SYNs with MP_CAPABLE vanished: tried without */

	bool owe_open, told; /* CONNECTED / ACCEPT is to be posted / was posted */
	bool app_closed;     /* CLOSE: nothing more is delivered */
	bool discard;        /* drain: incoming data is acknowledged and dropped */
	bool fastopen;       /* data may go with the SYN */
	bool unread;         /* the application gave data back that it had not read */
	bool shut;           /* nothing more to send: DATA_FIN / FIN after the queue */
	bool fin_sent, fin_acked;
	bool peer_fin_known, peer_fin; /* DATA_FIN seen / in order */
	bool eof_told;
	bool finishing; /* both DATA_FINs acknowledged, subflows are closing */
	bool finished;  /* orderly end: only completions are left */
	bool doomed;    /* to be ended with last_err as soon as TCP is not in the middle of a call */
	bool dead;      /* ended by err */
	bool starved;   /* a send found no record or buffer */
	bool credit;    /* the window may have grown: look */
	bool pm_dirty;
	bool stuck;    /* data waits that the application does not take */
	bool dup_rx;   /* data came a second time, or after its ACK: DATA_ACK at once */
	bool fin_word; /* this ACK carries the DATA_FIN, not MP_CAPABLE */
	bool ack_all;  /* DATA_FIN state changed: pure ACK on every subflow */

	uint32_t nsf;
	struct sn_subflow *sf[SN_MAX_SUBFLOWS];
	struct sn_subflow *last_rx; /* received data last */
	uint8_t rr_slot;            /* round-robin: last used */

	uint64_t local_key, remote_key;
	uint32_t token, remote_token;

	/* Sending. Numbers are data sequence numbers, in fallback offsets that only we see. */
	uint64_t idsn;
	uint64_t snd_una, snd_nxt, snd_end;             /* snd_end: after the last queued byte = DATA_FIN */
	uint64_t snd_edge;                              /* right edge of the peer's window */
	struct sn_chunk *chunks, *chunks_tail, *cursor; /* cursor holds snd_nxt */
	struct sn_sent *sent, *sent_tail;
	uint32_t need;      /* sent records with need */
	uint32_t sent_owed; /* bytes to report by SN_CQ_SENT */
	uint64_t stall_end; /* end of the last stall retransmission, 0: none */
	uint32_t stall_len;
	sn_time rtx_base; /* last progress or retransmission */
	uint8_t rtx_backoff, fin_backoff;
	bool mended;        /* extra copies went out since the last DATA_ACK that helped (mend.c) */
	uint32_t mend_left; /* bytes that may go so */
	sn_time mend_gap;   /* how old the last head had to be */

	/* Receiving. */
	uint64_t remote_idsn;
	uint64_t rcv_nxt, rcv_edge, rcv_adv; /* rcv_adv: right edge as last sent */
	uint64_t peer_fin_dsn;
	struct sn_buf *rq, *rq_tail; /* in order, for the application */
	struct sn_buf *ooo, *ooo_tail;
	uint32_t rq_bytes, ooo_bytes, ooo_count, held_bytes, slots_out;
	uint32_t rcv_size;   /* receive buffer: begins small, grows up to cfg.rcvbuf with what the application reads */
	uint32_t read_mark;  /* bytes read since it grew */
	uint64_t prune_mark; /* rcv_nxt when buffers were short */
	uint64_t bytes_received, bytes_retrans, bytes_acked;
	uint64_t close_mark; /* bytes_acked when t_close was set: patience is with those that get on */

	/* Path manager. */
	struct sn_remote remote[SN_MAX_REMOTES];
	uint32_t ann_done; /* endpoints announced, bit per table index */
	int8_t ann_cur;    /* being announced, -1: none */
	uint8_t ann_tries;
	sn_time ann_deadline;
	struct sn_mp_add_addr ann;
	struct sn_mp_remove_addr removed;
	struct sn_path_try ep_try[SN_MAX_ENDPOINTS], rejoin, ports;
	/* What the application set: tune.c. */
	struct sn_tcp_tune tune;
	uint32_t linger_ms; /* SN_SET_LINGER */
	uint64_t user_mark; /* bytes acknowledged */
	sn_time user_since; /* when they became so many, an eighth of the timeout exact; 0: nothing was owed */

	bool pm_told;  /* CREATED was: CLOSED will be */
	bool pm_begun; /* the path manager has had its first look */

	/* Timers of a connection. */
	struct sn_timer t_rtx;   /* connection-level retransmission and window probe (retrans.c) */
	struct sn_timer t_mend;  /* the hole at the head (mend.c) */
	struct sn_timer t_fin;   /* DATA_FIN again (close.c) */
	struct sn_timer t_close; /* end of patience (close.c) */
	struct sn_timer t_pm;    /* ADD_ADDR again, next try of a join (pm.c) */
	struct sn_timer t_user;  /* user timeout (tune.c) */
};

/* --- conn.c: life of records, lists --- */
struct sn_conn *sn_conn_new(struct sn_engine *e, uint32_t slot, sn_time now);
void sn_conn_free(struct sn_conn *c);
void sn_conn_set_state(struct sn_conn *c, enum sn_conn_state state);
void sn_conn_wake(struct sn_conn *c);
void sn_conn_block(struct sn_conn *c, enum sn_block why);
void sn_conn_unlist(struct sn_conn *c);
struct sn_subflow *sn_sf_new(struct sn_conn *c, enum sn_sf_kind kind, const struct sn_flow *flow, uint16_t port);
/* Opens actively; false (and the record is gone) if no TCP record could be had. */
bool sn_sf_open(struct sn_subflow *sf, sn_time now);
bool sn_sf_accept(struct sn_subflow *sf, const struct sn_tcp_seg *syn, sn_time now);
bool sn_sf_accept_cookie(struct sn_subflow *sf, uint32_t cookie, const struct sn_tcp_seg *syn, sn_time now);
void sn_sf_free(struct sn_subflow *sf);
/* RST with a reason. The record is gone afterwards. */
void sn_sf_reset(struct sn_subflow *sf, enum sn_rst_reason why, sn_time now);
/* FIN: no new data on this subflow, what it carried may go elsewhere. */
void sn_sf_leave(struct sn_subflow *sf, sn_time now);
static inline struct sn_channel *sn_conn_channel(const struct sn_conn *c)
{
	return c->slot == SN_SLAB_NONE ? NULL : c->e->channel[c->slot];
}
static inline bool sn_sf_usable(const struct sn_subflow *sf) { return sf && sf->tcp && sf->state == SN_SF_UP; }
/* After a change of one of its two causes. */
static inline void sn_sf_backup(struct sn_subflow *sf) { sf->backup = sf->peer_backup || sf->our_backup; }
/* Any subflow on which a pure ACK with options makes sense, NULL if there is none. */
struct sn_subflow *sn_conn_any_up(const struct sn_conn *c);

/* --- socket_manager.c --- */
void sn_conn_work(struct sn_conn *c, sn_time now);
void sn_listener_left(struct sn_conn *c); /* the connection no longer counts in its listener's backlog */

/* Nobody is told anything any more. */
void sn_conn_forget_app(struct sn_conn *c);

/* --- events.c: what the application is told --- */
/* Posts what is owed. What does not fit puts the connection on a blocked list. After the last word c->slot is none. */
void sn_conn_events(struct sn_conn *c);
/* False: the completion ring is full. */
bool sn_event_post(struct sn_engine *e, uint32_t slot, const struct sn_cqe *cqe);

/* --- crypto.c --- */
void sn_mp_key_digest(uint64_t key, uint32_t *token, uint64_t *idsn);
/* HMAC-SHA256 with the 16-byte key k1 || k2. */
void sn_mp_hmac(uint64_t k1, uint64_t k2, const uint8_t *msg, uint32_t len, uint8_t out[32]);
void sn_mp_hmac_join(uint64_t k1, uint64_t k2, uint32_t n1, uint32_t n2, uint8_t out[32]);
uint64_t sn_mp_hmac_add_addr(uint64_t k_sender, uint64_t k_receiver, const struct sn_mp_add_addr *a);
bool sn_mp_equal(const void *a, const void *b, uint32_t n); /* in constant time */

/* --- accept.c --- */
void sn_half_leave(struct sn_conn *c); /* the handshake is over, one way or the other */
struct sn_listener *sn_listener_for(const struct sn_engine *e, const struct sn_flow *flow);
/* Established connections wait that it does not accept, as many as it said. */
static inline bool sn_listener_full(const struct sn_listener *l) { return l->pending - l->half >= l->backlog; }
/* Is that an MP_CAPABLE of a SYN that we can talk with? */
bool sn_syn_capable(const struct sn_listener *l, const struct sn_mp_opts *mp);
/* A new connection of a listener's. It counts in its backlog. NULL: there is no record. */
struct sn_conn *sn_conn_for(struct sn_engine *e, struct sn_listener *l, const struct sn_flow *flow, sn_time now);

/* --- cookie.c: SYNs that leave no record --- */
/* Answers a SYN by a cookie. */
void sn_cookie_answer(struct sn_engine *e, const struct sn_listener *l, uint16_t port, const struct sn_flow *flow,
		      const struct sn_tcp_seg *syn, sn_time now);

/* --- blackhole.c: destinations that swallow SYNs with MP_CAPABLE --- */
bool sn_blackhole_known(struct sn_engine *e, const struct sn_addr *to, sn_time now);
void sn_blackhole_note(struct sn_engine *e, const struct sn_addr *to, sn_time now);
void sn_blackhole_forget(struct sn_engine *e, const struct sn_addr *to);

/* --- token.c --- */
/* Inserts a key that was drawn before; false: its token is in use. */
bool sn_token_take(struct sn_conn *c, uint64_t key);
bool sn_token_new(struct sn_conn *c); /* draws key, token, idsn; inserts. false: no token could be made */
void sn_token_remove(struct sn_conn *c);
struct sn_conn *sn_token_find(const struct sn_engine *e, uint32_t token);

/* --- fallback.c --- */
/* Plain TCP from now on. False if it is too late for that. */
bool sn_conn_can_fall_back(const struct sn_conn *c);
bool sn_conn_fallback(struct sn_conn *c, struct sn_subflow *sf, sn_time now);
/* MP_FAIL on a pure ACK. False: it takes a reset of the subflow instead. */
bool sn_conn_tell_fail(struct sn_conn *c, struct sn_subflow *sf, uint64_t fail_dsn, sn_time now);
/* New data is to be sent: plain TCP from here on, told by an infinite mapping. */
void sn_conn_go_infinite(struct sn_conn *c, sn_time now);
/* --- handshake.c --- */
extern const struct sn_tcp_up sn_mptcp_up;
void sn_conn_fully(struct sn_conn *c);
/* Keys of the peer are known: sequence numbers of its data. */
void sn_conn_keyed(struct sn_conn *c, uint64_t remote_key);
/* Data may be sent on this subflow. */
void sn_sf_up(struct sn_subflow *sf, sn_time now);
void sn_sf_shared(struct sn_subflow *sf, bool on);

/* --- dss.c --- */
uint32_t sn_mp_options(struct sn_subflow *sf, const struct sn_opt_want *want, uint8_t *out);
/* sn_tcp_up.unit: how much may stand in one mapping. */
uint32_t sn_mp_unit(const struct sn_subflow *sf, uint64_t dsn, uint32_t len);
/* DSS of an acceptable segment of an established MPTCP subflow. False: drop the segment (the subflow is reset). */
bool sn_dss_plain_ok(const struct sn_subflow *sf, const struct sn_tcp_seg *seg);
bool sn_dss_input(struct sn_subflow *sf, const struct sn_tcp_seg *seg, struct sn_buf *payload, sn_time now);
/* Notes an MP_CAPABLE's mapping in a buffer. */
void sn_dss_map_capable(struct sn_conn *c, const struct sn_mp_capable *cap, struct sn_buf *b);
/* In-order bytes of an MPTCP subflow: applies mappings, then sn_recv_data(). */
void sn_dss_data(struct sn_subflow *sf, struct sn_buf *chain, sn_time now);
void sn_dss_drop_held(struct sn_subflow *sf);

/* --- recv.c --- */
/* One buffer with its dsn set. */
void sn_recv_data(struct sn_conn *c, struct sn_subflow *sf, struct sn_buf *b, sn_time now);
void sn_recv_plain(struct sn_conn *c, struct sn_buf *chain, sn_time now);
void sn_recv_fin(struct sn_conn *c, uint64_t dsn, sn_time now);
uint32_t sn_recv_window(struct sn_conn *c);
void sn_recv_credit(struct sn_conn *c, sn_time now); /* tells the peer about a grown window if it is worth it */
/* The application read n bytes. */
void sn_recv_read(struct sn_conn *c, uint32_t n);
void sn_recv_purge(struct sn_conn *c);

/* --- send.c --- */
enum sn_err sn_send_queue(struct sn_conn *c, const uint8_t *data, uint32_t len);
void sn_send_push(struct sn_conn *c, sn_time now);
void sn_send_data_ack(struct sn_conn *c, uint64_t ack, sn_time now);
void sn_send_window(struct sn_conn *c, uint64_t ack, uint32_t wnd);
void sn_send_release(struct sn_conn *c);
/* Frees the application's memory from subflows that do not get on. */
void sn_send_unblock(struct sn_conn *c);
/* The first `len` bytes of the queue travelled with the SYN: they have no place in the data sequence space (RFC 8684 B.2). */
void sn_send_early(struct sn_conn *c, uint32_t len);
void sn_send_purge(struct sn_conn *c); /* everything, at the end of a connection */
/* The chunk that holds dsn; NULL if none does. */
struct sn_chunk *sn_send_chunk_at(const struct sn_conn *c, uint64_t dsn);
static inline bool sn_send_outstanding(const struct sn_conn *c) { return sn_dsn_lt(c->snd_una, c->snd_nxt); }
void sn_zombies_sweep(struct sn_engine *e);

/* --- retrans.c --- */
void sn_sent_add(struct sn_conn *c, uint64_t dsn, uint32_t len, uint8_t slot);
void sn_sent_trim(struct sn_conn *c);
void sn_sent_purge(struct sn_conn *c);
/* The subflow does not answer / will carry nothing more: what only it and other silent ones carried is to be sent again
 * elsewhere. */
void sn_sent_doubt(struct sn_conn *c, uint8_t slot);
void sn_sent_lost(struct sn_conn *c, uint8_t slot);
void sn_retrans_push(struct sn_conn *c, sn_time now);  /* reinjection as far as windows allow */
void sn_retrans_check(struct sn_conn *c, sn_time now); /* arms the timer, notices a stalled receiver */
void sn_retrans_fire(struct sn_timer *t, sn_time now);

/* `len` bytes from dsn on, which s holds, once more, by this subflow. Returns their record, NULL if they were not sent. */
struct sn_sent *sn_retrans_piece(struct sn_conn *c, struct sn_sent *s, uint64_t dsn, uint32_t len,
				 struct sn_subflow *sf, sn_time now);

/* --- mend.c: holes that last --- */
void sn_mend_check(struct sn_conn *c, sn_time now); /* arms the timer */
void sn_mend_acked(struct sn_conn *c, uint64_t bytes, sn_time now);
void sn_mend_fire(struct sn_timer *t, sn_time now);

/* --- path.c: paths that fall silent --- */
void sn_path_sent(struct sn_subflow *sf, sn_time now); /* before data is handed to TCP */
void sn_path_heard(struct sn_subflow *sf, const struct sn_tcp_seg *seg, sn_time now);
void sn_path_acked(struct sn_subflow *sf, sn_time now); /* progress */
void sn_path_up(struct sn_subflow *sf);                 /* may carry data from now on */
void sn_path_rto(struct sn_subflow *sf, uint32_t in_a_row, sn_time now);
void sn_path_fire(struct sn_timer *t, sn_time now);

/* --- close.c --- */
/* Ends the connection at once with an error; fastclose: tell the peer by MP_FASTCLOSE. `except` (or NULL) is closing
 * by itself. */
void sn_conn_fail(struct sn_conn *c, enum sn_err err, bool fastclose, const struct sn_subflow *except, sn_time now);
void sn_conn_shut(struct sn_conn *c, sn_time now);
void sn_conn_close(struct sn_conn *c, sn_time now);  /* the application wants no more of it */
void sn_conn_unread(struct sn_conn *c, sn_time now); /* it gave back what it had not read: no orderly close */
void sn_close_fin(struct sn_conn *c, sn_time now);   /* sends FIN / DATA_FIN when its turn has come */
void sn_close_check(struct sn_conn *c, sn_time now); /* what follows from the state of subflows and FINs */
void sn_close_fin_fire(struct sn_timer *t, sn_time now);
void sn_close_fire(struct sn_timer *t, sn_time now);

/* --- tune.c: what an application sets --- */
/* `what`: enum sn_set, checked by the caller. SN_E_INVAL: no such value. */
enum sn_err sn_conn_set(struct sn_conn *c, uint32_t what, uint32_t value, sn_time now);
void sn_sf_tune(struct sn_subflow *sf, sn_time now); /* a new subflow gets it too */
void sn_user_fire(struct sn_timer *t, sn_time now);

/* --- pm.c --- */
bool sn_pm_segment(struct sn_subflow *sf, const struct sn_tcp_seg *seg, sn_time now);
void sn_pm_check(struct sn_conn *c, sn_time now);
void sn_pm_fire(struct sn_timer *t, sn_time now);
void sn_pm_sf_gone(struct sn_subflow *sf, enum sn_err err, sn_time now);
uint8_t sn_pm_local_id(const struct sn_conn *c, const struct sn_addr *addr);
/* Is it an endpoint's with the backup flag? */
bool sn_pm_is_backup(const struct sn_conn *c, const struct sn_addr *addr);
/* May a join come to this local port? */
bool sn_pm_port_ok(const struct sn_conn *c, uint16_t lport);
/* Announces `a` as number `cur`. False: no room for it beside the other options of an ACK; it counts as done. */
bool sn_pm_announce(struct sn_conn *c, const struct sn_mp_add_addr *a, int8_t cur, sn_time now);
/* See pm.c. */
void sn_pm_withdraw(struct sn_conn *c, const struct sn_endpoint *ep, bool told, sn_time now);
/* Our wish for one subflow; tells the peer (MP_PRIO). */
void sn_pm_prio(struct sn_subflow *sf, bool backup, sn_time now);
uint32_t sn_pm_extra(const struct sn_conn *c); /* subflows beyond the first that count against the limit */

/* --- pm_events.c: what path managers outside are told --- */
void sn_pm_tell(struct sn_conn *c, enum sn_pm_event_kind kind);
void sn_pm_tell_addr(struct sn_conn *c, enum sn_pm_event_kind kind, uint8_t remote_id, const struct sn_mp_add_addr *a);
void sn_pm_tell_sf(struct sn_subflow *sf, enum sn_pm_event_kind kind, enum sn_err err);

/* --- pm_join.c: which joins to open --- */
/* One join, now. False: no way there, no port or no record is left. */
bool sn_pm_open(struct sn_conn *c, const struct sn_addr *local, const struct sn_addr *remote, uint16_t rport,
		uint8_t remote_id, bool backup, sn_time now);
void sn_pm_joins(struct sn_conn *c, sn_time now, sn_time *next);
sn_time sn_join_ack_delay(const struct sn_subflow *sf);
void sn_join_ack_fire(struct sn_timer *t, sn_time now);

/* --- schedulers --- */
#include "mptcp/sched.h"

#endif

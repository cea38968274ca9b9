/* The channel between one application session and one worker: one shared memory object.
 *
 *   offset 0        struct sn_channel_hdr (one page)
 *   sq_off          sq_entries x struct sn_sqe   application -> worker
 *   cq_off          cq_entries x struct sn_cqe   worker -> application
 *   tx_off, tx_len  send arena: owned by the application, read by the worker (never copied)
 *   rx_off          rx_slots x rx_slot_size bytes: owned by the worker until a SN_CQ_RECV hands a slot out,
 *                   by the application until SN_OP_RELEASE gives it back
 *
 * Indices are free running; each is written by one side. Every value that the other side wrote is read once and checked.
 *
 * An application may not know yet that a connection is over: a submission with an id of the past is no violation.
 * SN_OP_RELEASE of a slot that it holds is always legal and gives the slot back, whatever `conn` says.
 */
enum sn_op {
	SN_OP_NOP = 0,
	SN_OP_CONNECT = 1,  /* addr/port remote, laddr/lport optional local; user is echoed; answer SN_CQ_CONNECTED */
	SN_OP_LISTEN = 2,   /* laddr/lport (not 0), len: backlog; user names the listener; answer SN_CQ_LISTENING */
	SN_OP_UNLISTEN = 3, /* user names the listener */
	SN_OP_ACCEPT = 4,   /* conn: taken from the backlog */
	SN_OP_SEND = 5, /* conn, off (from the arena's start), len; answer SN_CQ_SENT when the bytes may be reused */
	SN_OP_RELEASE =
		6, /* conn, off: as SN_CQ_RECV gave it, len: bytes consumed, 0: not read; the slot goes back, the window opens */
	SN_OP_SHUTDOWN = 7, /* conn: DATA_FIN / FIN after what was sent */
	SN_OP_CLOSE = 8,    /* conn: orderly close, nothing more is delivered; with unread data MP_FASTCLOSE / RST */
	SN_OP_ABORT = 9,    /* conn: MP_FASTCLOSE / RST */
	SN_OP_SET = 10      /* conn, off: enum sn_set, len: the value; a value out of range is refused by SN_CQ_ERROR */
};

/* What an application can set of one connection. */
enum sn_set {
	SN_SET_KEEP_IDLE = 1,     /* ms without a word of the peer before it is asked; 0: keep-alive is off */
	SN_SET_KEEP_INTERVAL = 2, /* ms between questions, not 0 */
	SN_SET_KEEP_COUNT = 3,    /* unanswered questions that end a subflow, 1 to 255 */
	SN_SET_USER_TIMEOUT = 4,  /* ms that data may stay unacknowledged before the connection ends; 0: the default */
	SN_SET_LINGER = 5 /* ms that CLOSE may take before it turns into ABORT; 0: at once; UINT32_MAX: default */
};

/* Flags of SN_OP_CONNECT and SN_OP_LISTEN. */
enum {
	SN_OPF_TCP = 1,  /* plain TCP, no MP_CAPABLE */
	SN_OPF_CSUM = 2, /* ask for DSS checksums */
	/* TCP Fast Open. CONNECT: off and len as for SEND, what is sent first; it travels with the SYN if the server gave a
	 * cookie before, else behind the handshake. LISTEN: gives cookies and takes data that comes with a SYN. */
	SN_OPF_FASTOPEN = 4
};

struct sn_sqe {
	uint8_t op;
	uint8_t flags;
	uint16_t port;
	uint32_t conn;
	uint64_t user;
	uint32_t off;
	uint32_t len;
	uint8_t addr[16];
	uint8_t laddr[16];
	uint16_t lport;
	uint8_t sched; /* enum sn_sched_id, 0: default */
	uint8_t cc;    /* CONNECT, LISTEN: enum sn_cc_id, 0: default */
	uint8_t pad[4];
};

enum sn_cq {
	SN_CQ_CONNECTED = 1, /* user, res; on success conn, addr/port peer, laddr/lport local */
	SN_CQ_LISTENING = 2, /* user, res; lport */
	SN_CQ_ACCEPT = 3,    /* user: the listener's; conn, addr/port, laddr/lport */
	SN_CQ_RECV = 4,      /* conn, off: rx slot's offset from the channel's start, len */
	SN_CQ_SENT = 5,      /* conn, len: bytes of the send arena given back, in the order they were submitted */
	SN_CQ_EOF = 6,       /* conn: the peer sends no more */
	SN_CQ_CLOSED = 7,    /* conn, res: the last word on this connection; its id is free */
	SN_CQ_ERROR = 8      /* user, res, conn: the submission was refused */
};

/* Flags of SN_CQ_CONNECTED and SN_CQ_ACCEPT. */
enum { SN_CQF_MPTCP = 1 };

struct sn_cqe {
	uint8_t op;
	uint8_t flags;
	uint16_t port;
	uint32_t conn;
	uint64_t user;
	int32_t res;
	uint32_t off;
	uint32_t len;
	uint8_t addr[16];
	uint8_t laddr[16];
	uint16_t lport;
	uint8_t pad[2];
};

/* Congestion control of a connection's subflows. */
enum sn_cc_id { SN_CC_DEFAULT = 0, SN_CC_CUBIC = 1, SN_CC_NEWRENO = 2, SN_CC_BBR = 3, SN_CC_DCTCP = 4 };

enum sn_sched_id { SN_SCHED_DEFAULT = 0, SN_SCHED_MINRTT = 1, SN_SCHED_ROUNDROBIN = 2 };

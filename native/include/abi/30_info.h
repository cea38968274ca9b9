/* What a worker shows of itself: filled by sn_engine_info*(), turned into messages by Python. */
enum sn_conn_state {
	SN_CONN_NEW = 0,
	SN_CONN_CONNECTING = 1,
	SN_CONN_ESTABLISHED = 2, /* MPTCP or fallback, data may flow */
	SN_CONN_CLOSING = 3,     /* we sent or are sending DATA_FIN / FIN, or the peer did */
	SN_CONN_CLOSED = 4
};
enum sn_tcp_state {
	SN_TCP_CLOSED = 0,
	SN_TCP_SYN_SENT = 1,
	SN_TCP_SYN_RCVD = 2,
	SN_TCP_ESTABLISHED = 3,
	SN_TCP_FIN_WAIT_1 = 4,
	SN_TCP_FIN_WAIT_2 = 5,
	SN_TCP_CLOSE_WAIT = 6,
	SN_TCP_CLOSING = 7,
	SN_TCP_LAST_ACK = 8,
	SN_TCP_TIME_WAIT = 9
};

struct sn_conn_info {
	uint32_t conn;
	uint32_t channel; /* slot of the application's channel */
	uint32_t token;   /* ours */
	uint8_t state;    /* enum sn_conn_state */
	uint8_t mptcp;    /* 0: fallback or plain TCP */
	uint8_t server;
	uint8_t sched;
	uint8_t laddr[16], raddr[16];
	uint16_t lport, rport;
	uint32_t subflows;
	uint64_t bytes_sent, bytes_acked, bytes_received, bytes_retrans; /* data level */
	uint64_t opened_ns;                                              /* engine time */
	uint32_t send_queue, recv_queue;                                 /* bytes */
	/* As struct mptcp_info of the kernel. */
	uint32_t remote_token;
	uint8_t cc; /* enum sn_cc_id */
	uint8_t fell_back;
	uint8_t remote_key; /* known */
	uint8_t csum;       /* data carries checksums */
	uint8_t peer_no_join;
	uint8_t add_addr_signal;                            /* addresses announced to the peer */
	uint8_t add_addr_accepted;                          /* the peer's that are used */
	uint8_t extra;                                      /* subflows beyond the first, as the limit counts them */
	uint32_t retransmits;                               /* timeouts in a row without progress */
	uint64_t write_seq, snd_nxt, snd_una, rcv_nxt;      /* data sequence numbers */
	uint64_t snd_wnd;                                   /* bytes the peer would take beyond snd_una */
	uint64_t rcv_wnd;                                   /* bytes we would take beyond rcv_nxt */
	uint64_t last_sent_ns, last_recv_ns, last_acked_ns; /* engine time, 0: never; of the subflows that are left */
};
struct sn_subflow_info {
	uint8_t id;
	uint8_t state; /* enum sn_tcp_state */
	uint8_t join;
	uint8_t backup;
	uint16_t port; /* index of the NIC port */
	uint16_t lport, rport;
	uint8_t laddr[16], raddr[16];
	uint8_t laddr_id, raddr_id;
	uint8_t established; /* data may be sent */
	uint8_t stale;
	uint32_t cwnd, ssthresh, in_flight, mss;
	uint64_t srtt_ns, rttvar_ns, min_rtt_ns, rto_ns;
	uint64_t bytes_sent, bytes_acked, bytes_received, bytes_retrans;
	uint64_t segs_sent, segs_received, retrans, rtos;
	/* As struct tcp_info of the kernel, where it differs from the above. */
	char cc[12];
	uint64_t delivery_rate, pacing_rate; /* bytes/s, 0: unknown, not paced */
	uint64_t delivered;                  /* bytes */
	uint32_t snd_wnd, rcv_wnd;           /* bytes, as last advertised */
	uint32_t unacked, lost, sacked;      /* bytes outstanding; segments */
	uint32_t rcv_ooo;                    /* buffers out of order */
	uint8_t ca;                          /* enum sn_tcp_ca: open, recovery, loss */
	uint8_t backoff;
	uint8_t snd_wscale, rcv_wscale;
	uint8_t options; /* enum sn_tcp_option */
	uint8_t reordering;
	uint8_t active;                                     /* we sent the SYN */
	uint8_t silent;                                     /* no answer for longer than the path takes */
	uint8_t our_backup, peer_backup;                    /* who asked for it */
	uint32_t pmtu;                                      /* what the path is taken to carry, L3 bytes */
	uint64_t last_sent_ns, last_recv_ns, last_acked_ns; /* engine time, 0: never */
};
enum sn_tcp_option { SN_TCPI_TS = 1, SN_TCPI_SACK = 2, SN_TCPI_WSCALE = 4, SN_TCPI_ECN = 8 };

/* An address of ours for the path manager; words as in ip-mptcp(8). */
enum sn_endpoint_flag { SN_EP_SIGNAL = 1, SN_EP_SUBFLOW = 2, SN_EP_BACKUP = 4, SN_EP_FULLMESH = 8, SN_EP_LAMINAR = 16 };
struct sn_endpoint {
	uint8_t id; /* 1..255 */
	uint8_t flags;
	uint16_t tcp_port; /* 0: the connection's own */
	uint8_t addr[16];
	uint16_t nic_port;
};
struct sn_pm_limits {
	uint32_t subflows;          /* extra subflows a connection may have */
	uint32_t add_addr_accepted; /* ADD_ADDRs acted upon */
	uint32_t ndiffports;        /* subflows over the first pair of addresses, the first one included; 0 as 1 */
	uint32_t manual;            /* nothing is opened or announced but by sn_engine_pm_command() */
};

/* What happens to connections and their paths, in the words of the kernel's path manager; the values are
 * enum mptcp_event_type's. */
enum sn_pm_event_kind {
	SN_PM_CREATED = 1,
	SN_PM_ESTABLISHED = 2, /* the peer is known to speak MPTCP: joins are possible */
	SN_PM_CLOSED = 3,
	SN_PM_ANNOUNCED = 6, /* an address of the peer: remote_id, raddr, rport (0: the initial one) */
	SN_PM_REMOVED = 7,   /* remote_id */
	SN_PM_SUB_ESTABLISHED = 10,
	SN_PM_SUB_CLOSED = 11, /* one that never came about as well: error */
	SN_PM_SUB_PRIORITY = 13
};
struct sn_pm_event {
	uint8_t kind; /* enum sn_pm_event_kind */
	uint8_t server;
	uint8_t subflow; /* sn_subflow_info.id */
	uint8_t local_id, remote_id;
	uint8_t backup;                                /* in effect */
	uint8_t has_reason, reset_reason, reset_flags; /* MP_TCPRST of the peer */
	uint8_t join;
	uint8_t no_join; /* the peer's C flag */
	uint16_t lport, rport;
	uint16_t port; /* index of the NIC port */
	int32_t error; /* errno, 0: none */
	uint32_t conn, token;
	uint8_t laddr[16], raddr[16];
};

/* What a policy outside may ask for. */
enum sn_pm_op {
	SN_PM_OPEN = 1,     /* laddr (or 0: as the route goes), raddr (or 0: the first), rport (or 0), backup */
	SN_PM_CLOSE = 2,    /* subflow, lport, rport */
	SN_PM_ANNOUNCE = 3, /* laddr, lport (or 0); SN_E_AGAIN: another one is under way */
	SN_PM_WITHDRAW = 4, /* laddr, lport (or 0) */
	SN_PM_PRIO = 5      /* subflow, lport, rport, backup */
};
struct sn_pm_command {
	uint8_t op; /* enum sn_pm_op */
	uint8_t subflow;
	uint8_t backup;
	uint8_t pad;
	uint16_t lport, rport;
	uint32_t conn, token; /* both must fit */
	uint8_t laddr[16], raddr[16];
};

/* Memory use of one engine's tables: name by sn_engine_table_name(i). */
struct sn_table_info {
	uint32_t used, peak, count, item_size;
	uint32_t index_size; /* bytes per record beside it: the table's link, its share of hash heads */
};

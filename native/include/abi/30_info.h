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
};

/* An address of ours for the path manager; words as in ip-mptcp(8). */
enum sn_endpoint_flag { SN_EP_SIGNAL = 1, SN_EP_SUBFLOW = 2, SN_EP_BACKUP = 4, SN_EP_FULLMESH = 8 };
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
};

/* Memory use of one engine's tables: name by sn_engine_table_name(i). */
struct sn_table_info {
	uint32_t used, peak, count, item_size;
};

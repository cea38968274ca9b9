/* What Python sees of one worker and of the start-up: native/lcore and native/port.
 * Calls that can fail return 0 or a negative enum sn_err; sn_last_error() says in one sentence what went wrong. */
struct sn_worker;  /* one worker's C side: opaque */
struct sn_runtime; /* everything made before the fork: EAL, ports, pools, rings, shared pages; opaque */

/* Written by the worker, read by the control process: one cache line each. */
struct sn_cnc {
	uint32_t state; /* enum sn_cnc_state */
	uint32_t pid;
	uint64_t heartbeat; /* CLOCK_MONOTONIC ns, written at least every 50 ms while the worker is well */
	uint64_t loops;
	uint64_t busy_ns, idle_ns; /* time with work, time spinning or asleep */
	uint64_t bursts;
	uint32_t restarts;
	uint32_t pad[3];
};
enum sn_cnc_state { SN_CNC_BOOT = 0, SN_CNC_RUN = 1, SN_CNC_DRAIN = 2, SN_CNC_HALT = 3, SN_CNC_FAIL = 4 };

/* --- before the fork: control process ---------------------------------------------------------------------------- */
/* One port as configured. */
struct sn_port_cfg {
	char name[64];   /* for people: interface or PCI address */
	char device[64]; /* DPDK's name: net_af_packet0, 0000:01:00.0 */
	int32_t ifindex; /* of the Linux interface below, 0: none */
	uint16_t mtu;    /* L3 bytes */
	uint16_t vlan;   /* 1 to 4094: frames bear this tag; 0: none */
	uint8_t prefix;  /* bits of the IPv4 network (of 32) */
	uint8_t prefix6; /* bits of the IPv6 network (of 128) */
	/* One address of a family, all zero: none of it. There must be one, IPv6 needs an MTU of 1280. */
	uint8_t addr[16];     /* IPv4-mapped */
	uint8_t gateway[16];  /* IPv4-mapped; all zero: none */
	uint8_t addr6[16];    /* IPv6, global */
	uint8_t gateway6[16]; /* global or link-local; all zero: none */
	uint32_t frame_size;  /* of a packet socket's rings, as given to the driver; 0: another driver */
	uint32_t frames;
	uint8_t held; /* families (1: IPv4, 2: IPv6) whose address is probed before it is used */
	/* Networks beyond the link. */
	uint32_t routes, routes6;
	struct sn_route route[SN_ROUTES], route6[SN_ROUTES];
};
/* When SYNs are answered by cookies: never, when handshakes use up what they may, always. */
enum sn_cookies_cfg { SN_COOKIES_CFG_DEFAULT, SN_COOKIES_CFG_OFF, SN_COOKIES_CFG_AUTO, SN_COOKIES_CFG_ALWAYS };
struct sn_runtime_cfg {
	char name[32];
	uint32_t workers, ports;
	uint32_t bufs;        /* packet buffers per worker */
	uint32_t block_base;  /* first local port of worker 0 */
	uint32_t block_ports; /* local ports per worker, a power of two */
	uint32_t max_conns;   /* per worker, 0: default; likewise below */
	uint32_t max_subflows, max_segs, max_chunks, max_listeners;
	uint32_t rcvbuf; /* bytes per connection */
	uint32_t limit_subflows, limit_add_addr;
	uint32_t rto_min_us;         /* 0: default */
	uint8_t sched;               /* enum sn_sched_id */
	uint8_t csum;                /* ask for DSS checksums */
	uint8_t busy_poll;           /* never sleep */
	uint8_t no_join;             /* C flag of MP_CAPABLE */
	uint32_t spin_us;            /* keep polling this long after work before sleeping */
	char cc[16], tcp_engine[16]; /* empty: default */
	uint8_t secret[16];
	uint32_t time_wait_ms, fin_wait_ms, max_orphans; /* 0: default */
	uint32_t cookies;                                /* enum sn_cookies_cfg */
};
struct sn_port_view {
	char driver[32];
	uint8_t mac[6];
	uint16_t queues;
	uint8_t tx_csum, rx_csum, copies, flow_rules;
	uint8_t tso;       /* cuts large sends into segments; else it is done in software */
	uint8_t can_sleep; /* every queue has a descriptor to wait on */
	uint8_t link_up;
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, rx_missed, rx_errors, tx_errors, rx_nobuf;
	uint64_t tx_full, rx_bad, tx_nobuf; /* over all queues */
	uint32_t rules;
};

const char *sn_last_error(void);
/* "DPDK 22.11.4"; empty: built without. */
const char *sn_dpdk_version(void);
int sn_eal_init(int argc, char **argv);
/* After every worker is gone. dir receives the directory that DPDK leaves behind. */
void sn_eal_fini(char *dir, size_t size);
/* Receive offloads of a Linux interface that merge frames: what is "gro" or "lro". on -1: asks; 0, 1: sets. Returns the
 * state, or a negative errno. */
int sn_link_offload(const char *ifname, const char *what, int on);
/* 1: the Linux interface has a link, 0: it has none, or a negative errno. */
int sn_link_up(const char *ifname);
/* MB of EAL memory that these buffers and ports need. */
uint32_t sn_runtime_memory_mb(const struct sn_runtime_cfg *cfg, const struct sn_port_cfg *ports);
/* Pools, ports, rings, shared pages. NULL: see sn_last_error(). */
struct sn_runtime *sn_runtime_create(const struct sn_runtime_cfg *cfg, const struct sn_port_cfg *ports);
/* Stops the ports and frees everything; no worker may be alive. */
void sn_runtime_destroy(struct sn_runtime *rt);
const struct sn_cnc *sn_runtime_cnc(const struct sn_runtime *rt, uint32_t worker);
/* The eventfd that wakes a worker. */
int sn_runtime_door(const struct sn_runtime *rt, uint32_t worker);
/* The worker's process is gone; call before the next one is forked. */
void sn_runtime_worker_gone(struct sn_runtime *rt, uint32_t worker);
int sn_runtime_port_view(const struct sn_runtime *rt, uint32_t port, struct sn_port_view *out);
/* Addresses that were held back are ready: for workers that start from now on. */
void sn_runtime_addresses_ready(struct sn_runtime *rt);
/* An exact rule that sends a flow (addresses as this host sees them) to a worker: its number, or an error. */
int32_t sn_runtime_flow_ask(struct sn_runtime *rt, uint32_t port, uint32_t worker, const uint8_t *laddr, uint16_t lport,
			    const uint8_t *raddr, uint16_t rport);
int sn_runtime_flow_drop(struct sn_runtime *rt, uint32_t port, int32_t rule);

/* --- after the fork: worker -------------------------------------------------------------------------------------- */
/* Why sn_worker_run() came back; bits. */
enum sn_run { SN_RUN_DEADLINE = 1, SN_RUN_CONTROL = 2, SN_RUN_SIGNAL = 4, SN_RUN_VIOLATION = 8, SN_RUN_EVENTS = 16 };

/* Takes worker `index` over, after a death as well: resets its pool and its peers' connections. control: its end of the
 * ring of messages, looked at before every sleep. NULL: see sn_last_error(). */
struct sn_worker *sn_worker_create(struct sn_runtime *rt, uint32_t index, struct sn_ring *control, int control_door);
/* The poll loop, until `until_ns` (CLOCK_MONOTONIC), a control message, a signal or a channel's violation. */
int sn_worker_run(struct sn_worker *w, uint64_t until_ns);
void sn_worker_set_state(struct sn_worker *w, uint32_t state);
/* Maps and attaches a channel; takes the descriptors in every case. Returns its slot. */
int32_t sn_worker_channel_attach(struct sn_worker *w, uint64_t session, int memory, int door_app, int door_worker);
/* SN_E_INVAL: no such session. */
int sn_worker_channel_detach(struct sn_worker *w, uint64_t session);
/* The session of a channel's slot, 0: none. */
uint64_t sn_worker_session(const struct sn_worker *w, uint32_t slot);
/* A session whose application broke the channel protocol, 0: none. */
uint64_t sn_worker_violation(const struct sn_worker *w);
/* Sees to restarted siblings: takes back buffers that they held. */
void sn_worker_siblings(struct sn_worker *w);
int sn_worker_endpoint_add(struct sn_worker *w, const struct sn_endpoint *ep);
int sn_worker_endpoint_del(struct sn_worker *w, uint8_t id);
void sn_worker_limits_set(struct sn_worker *w, const struct sn_pm_limits *limits);
int sn_worker_pm_command(struct sn_worker *w, const struct sn_pm_command *cmd);
/* Keeps events from now on (sn_worker_run() comes back when some wait), or no longer. */
void sn_worker_watch(struct sn_worker *w, bool on);
/* Takes up to n events; adds to *lost how many found no room since the last call. */
uint32_t sn_worker_events(struct sn_worker *w, struct sn_pm_event *out, uint32_t n, uint64_t *lost);
/* The same of neighbours and addresses, always kept from the first call on; SN_RUN_EVENTS says that some wait. */
void sn_worker_news_watch(struct sn_worker *w);
uint32_t sn_worker_news(struct sn_worker *w, struct sn_neigh_news *out, uint32_t n);
int sn_worker_order(struct sn_worker *w, const struct sn_neigh_order *order);
/* Closes every connection in good order; run until sn_worker_conns() is 0. */
void sn_worker_drain(struct sn_worker *w);
/* Ends every connection at once: the peers hear it. */
void sn_worker_abort(struct sn_worker *w);
uint32_t sn_worker_conns(const struct sn_worker *w);

/* Views, as in sn_engine_*(). */
uint64_t sn_worker_now(const struct sn_worker *w);
uint32_t sn_worker_conn_info(const struct sn_worker *w, uint32_t *cursor, struct sn_conn_info *out, uint32_t n);
uint32_t sn_worker_subflow_info(const struct sn_worker *w, uint32_t conn, struct sn_subflow_info *out, uint32_t n);
uint32_t sn_worker_tables(const struct sn_worker *w, struct sn_table_info *out, uint32_t n);
const char *sn_worker_table_name(uint32_t i);
uint32_t sn_worker_counters(const struct sn_worker *w, uint64_t *out, uint32_t n);
const char *sn_worker_counter_name(uint32_t i);
uint32_t sn_worker_pool_free(const struct sn_worker *w);
uint32_t sn_worker_pool_size(const struct sn_worker *w);
/* Buffers of ours that siblings hold. Walks the pool. */
uint32_t sn_worker_pool_lent(const struct sn_worker *w);

/* The simulator: two hosts, A (client) and B (server), joined by `paths` links each way, in virtual time. One seed and
 * one configuration give one run, to the bit. Times are nanoseconds; event times count from the start of the run. */
enum { SN_SIM_PATHS = 8, SN_SIM_EVENTS = 32, SN_SIM_WORKERS = 4, SN_SIM_CONNS = 16, SN_SIM_COUNTERS = 192 };

/* One direction of one path. Zero means: unlimited rate, no delay, unlimited queue, no fault. */
struct sn_sim_link {
	uint64_t rate_bps; /* bits of frames (Ethernet header included) per second */
	uint64_t delay_ns;
	uint64_t queue_bytes; /* tail drop beyond this backlog */
	uint64_t ecn_bytes;   /* frames that may be marked (ECT) are, when they find more than this waiting; 0: never */
	uint32_t loss_every;  /* every so manieth frame with payload is lost; 0: none */
	uint32_t mtu;         /* IP packets longer than this vanish, and nobody hears of it; 0: none do */
	double loss;          /* probabilities per frame, independent */
	double duplicate;
	double corrupt; /* one bit of an IP packet is flipped; implies soft_csum */
	double reorder; /* frame is held back by reorder_ns, others overtake it */
	uint64_t reorder_ns;
	uint64_t jitter_ns; /* uniform extra delay, order kept */
	/* Gilbert-Elliott: chance per frame to enter and to leave the bad state, and the loss in it (`loss`: in the good). */
	double burst_enter, burst_leave, burst_loss;
	uint64_t burst_ns;       /* no burst is longer; 0: frames alone end it */
	uint64_t up_ns, down_ns; /* in every up_ns + down_ns one outage of down_ns, at any place; 0: none */
};

enum sn_sim_box_flag {
	SN_SIM_BOX_NAT = 1,     /* A's address and ports are others to B */
	SN_SIM_BOX_SEQ = 2,     /* sequence numbers are shifted, acknowledgments and SACK blocks shifted back */
	SN_SIM_BOX_NO_SACK = 4, /* with SEQ: SACK blocks are forgotten */
	SN_SIM_BOX_DUMB = 8     /* coalescing drops the MPTCP options of the second segment */
};
/* A middlebox in front of both directions of a path. A set of TCP options is a mask: bit k for kind k. */
struct sn_sim_box {
	uint32_t flags;                               /* enum sn_sim_box_flag */
	uint32_t strip_syn, strip_synack, strip_data; /* these options become NOPs */
	uint32_t mangle_kinds;                        /* of these, one bit behind kind and length flips */
	uint32_t mss;                                 /* the MSS option is lowered to this */
	uint32_t split;                               /* segments are cut into pieces of at most so much payload */
	uint32_t coalesce;                            /* following segments are joined up to so much payload */
	uint64_t coalesce_ns;                         /* and the first waits so long for the next */
	uint32_t rewrite_max;                         /* 0: no limit */
	uint32_t mtu;      /* IP packets longer than this vanish and the sender hears of it (ICMP); 0: none do */
	uint32_t fragment; /* IP packets are cut into fragments of so much content, a multiple of 8; last of all */
	double mangle;     /* chance per segment with such an option */
	double rewrite;    /* chance per segment with payload: a byte of it changes, the TCP checksum with it */
};

enum sn_sim_what {
	SN_SIM_DOWN = 1,    /* path: both directions; what is under way is lost */
	SN_SIM_UP = 2,      /* path */
	SN_SIM_REBIND = 3,  /* path: its NAT forgets everything and gives new ports */
	SN_SIM_POOL = 4,    /* host, for_ns: arg of 1000 buffer allocations fail (0: all) */
	SN_SIM_FORWARD = 5, /* host, for_ns: the rings between its workers are full */
	SN_SIM_FREEZE = 6,  /* host, for_ns: the application does nothing at all; its completion rings fill */
	SN_SIM_NO_READ = 7, /* host, for_ns: the application stops reading */
	SN_SIM_STOP = 8,    /* host, worker arg, for_ns: is not run; frames wait in its queue, then are lost */
	SN_SIM_CLOCK = 9,   /* host: its clock leaps ahead by arg ns */
	SN_SIM_DIE = 10,    /* host: the application is gone, its memory with it */
	SN_SIM_STALL = 11,  /* host: its DATA_ACK stays until data is sent again from there; one connection */
	SN_SIM_FLOOD = 12   /* path, for_ns: arg SYNs a second to B from nobody, once A's first SYN passed there */
};
/* Something that happens at a moment, or begins then and lasts for_ns. */
struct sn_sim_event {
	uint64_t at_ns;
	uint32_t path;
	uint32_t what; /* enum sn_sim_what */
	uint64_t for_ns;
	uint64_t arg;
	uint32_t host; /* 0: A, 1: B */
	uint32_t pad;
};

/* What a scenario's faults may lead to without the run having failed. */
enum sn_sim_allow {
	SN_SIM_ALLOW_ERRORS = 1, /* connections may end with an error; who hears nothing more gives up after stall_ns */
	SN_SIM_ALLOW_BYTES = 2   /* the stream may differ */
};

enum sn_sim_steering {
	SN_SIM_RSS = 0,    /* hash of the 4-tuple: no steering at all */
	SN_SIM_BLOCKS = 1, /* local port blocks go to their worker, the rest by hash */
	SN_SIM_FIRST = 2   /* everything lands on worker 0 */
};
enum sn_sim_family {
	SN_SIM_IPV4 = 0,
	SN_SIM_IPV6 = 1, /* needs an mtu of 1280, and no NAT */
	SN_SIM_MIXED = 2 /* paths 1, 3, ... have IPv6 addresses, the others IPv4: joins across families */
};
enum sn_sim_pm {
	SN_SIM_PM_SIGNAL = 1,   /* B announces its addresses */
	SN_SIM_PM_SUBFLOW = 2,  /* A has subflow endpoints and gateways */
	SN_SIM_PM_FULLMESH = 4, /* A's subflow endpoints are fullmesh */
	SN_SIM_PM_BACKUP = 8    /* and backup, except the first path's */
};
enum sn_sim_close {
	SN_SIM_CLOSE_CALM = 0,  /* SHUTDOWN, wait for EOF and for everything to be acknowledged, CLOSE */
	SN_SIM_CLOSE_EARLY = 1, /* SHUTDOWN, CLOSE at EOF with data still under way */
	SN_SIM_CLOSE_ONLY = 2   /* CLOSE without SHUTDOWN once all is submitted and received */
};

struct sn_sim_cfg {
	uint64_t seed;
	uint64_t start_ns;           /* virtual clock at the start; 0: 1 s */
	uint64_t bound_ns;           /* a run that takes longer has failed; 0: 600 s */
	uint64_t bytes_ab, bytes_ba; /* per connection */
	uint32_t conns;              /* 0: 1 */
	uint32_t paths;
	struct sn_sim_link ab[8], ba[8];
	struct sn_sim_box box[8];
	uint32_t allow; /* enum sn_sim_allow */
	uint32_t events;
	struct sn_sim_event event[32];
	uint32_t workers_a, workers_b;        /* 0: 1 */
	uint8_t steering;                     /* enum sn_sim_steering */
	uint8_t pm;                           /* enum sn_sim_pm */
	uint8_t closing;                      /* enum sn_sim_close */
	uint8_t sched_a, sched_b;             /* enum sn_sched_id */
	uint8_t csum_a, csum_b;               /* ask for DSS checksums */
	uint8_t tcp_a, tcp_b;                 /* plain TCP client, listener */
	uint8_t soft_csum;                    /* IP and TCP checksums in software, made and verified */
	uint8_t shared;                       /* the first link's wire and queue serve all paths of a direction */
	uint8_t family;                       /* enum sn_sim_family */
	uint32_t subflows, add_addr_accepted; /* limits of both hosts */
	uint32_t mtu;                         /* 0: 1500 */
	uint32_t chunk; /* largest send descriptor; sizes are drawn from 1 to this if odd_chunks; 0: 16384 */
	uint32_t odd_chunks;
	uint32_t rcvbuf;                 /* 0: the engine's default */
	uint32_t arena;                  /* send arena of each channel; 0: 4 MiB */
	uint32_t rx_slot_size, rx_slots; /* 0: 16384 and 512 */
	uint32_t sq_entries, cq_entries; /* 0: 256 and 1024 */
	uint32_t segs;                   /* segment records of each worker; 0: 65536 */
	uint32_t pad5;
	uint64_t read_rate_a, read_rate_b; /* bytes/s the application reads; 0: at once */
	uint64_t rto_min_ns;               /* 0: the engine's default */
	uint64_t stall_ns;                 /* no application byte for so long: stalled; 0: 100 s */
	uint64_t start_gap_ns;             /* connection i is opened i times so long after the start */
	uint32_t msg_bytes; /* A sends messages of this size, bytes_ab in all, at times fixed beforehand; 0: a stream */
	uint32_t pad3;
	uint64_t msg_every_ns; /* mean time between two of them */
	uint8_t ecn;           /* 0: the engine's default, 1: off, 2: if the peer asks, 3: asked for */
	uint8_t pacing;        /* windows are paced */
	uint8_t single;        /* ports take single segments only, no units */
	uint8_t pad4[5];
	uint64_t rx_wait_ns; /* a frame that arrives waits so long for others: bursts; 0: each is handed over at once */
	uint64_t trace_ns;   /* with `trace`: so often */
	char trace[232];     /* "": none, else a CSV file: windows, round trips and queues over time */
	char cc[16];         /* "": the engine's default */
	char cc_b[16];       /* of host B; "": as A */
	char profile[16];    /* TCP's timers: datacenter, linux; "": the engine's default */
	char tcp_engine[16];
	char pcap[232];     /* "": none, else PATH: PATH-a.pcapng and PATH-b.pcapng are written */
	char segments[232]; /* "": none, else a CSV file: every TCP segment that a host sent or received */
};

struct sn_sim_result {
	uint32_t completed; /* 1: everything arrived, ended and was given back */
	uint32_t cancel;    /* set by another thread to stop the run */
	char failure[256];  /* one sentence, empty if completed */
	uint64_t virtual_ns, wall_ns, steps;
	uint64_t transfer_ns[2]; /* [0] A to B, [1] B to A: first CONNECT to the last byte delivered */
	uint64_t received[2];    /* application bytes; these and virtual_ns move while the run goes on */
	double goodput_bps[2];
	uint64_t path_payload[2][8]; /* TCP payload handed to each link, repeats included */
	uint64_t path_frames[2][8], path_lost[2][8], path_overflow[2][8];
	uint64_t path_marked[2][8]; /* frames marked Congestion Experienced */
	uint64_t conn_received[16]; /* bytes of connection i, A to B, and when the last of them came */
	uint64_t conn_ns[16];
	uint64_t messages; /* delivered whole; one-way time in a histogram, see sn_sim_latency_ns() */
	uint64_t latency_max_ns;
	uint32_t latency[2048];
	uint32_t mptcp_conns, tcp_conns; /* as A's application saw them connect */
	uint32_t subflows_peak;          /* of host A */
	uint32_t errors, given_up; /* connections that ended with an error, that an application gave up (per side) */
	uint32_t faults;           /* things that middleboxes and fault plan did */
	uint32_t counter_count;
	uint64_t retransmissions, reinjections, misdirected; /* both hosts */
	uint64_t counters[2][192]; /* per host, summed over workers; names by sn_sim_counter_name() */
};

/* Runs one scenario; returns 0 if it completed, a negative error otherwise (SN_E_INVAL: bad configuration). */
int sn_sim_run(const struct sn_sim_cfg *cfg, struct sn_sim_result *result);
const char *sn_sim_counter_name(uint32_t i);
/* Upper end of a bucket of the latency histogram. */
uint64_t sn_sim_latency_ns(uint32_t bucket);

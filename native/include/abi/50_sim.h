/* The simulator: two hosts, A (client) and B (server), joined by `paths` links each way, in virtual time. One seed and
 * one configuration give one run, to the bit. Times are nanoseconds; event times count from the start of the run. */
enum { SN_SIM_PATHS = 8, SN_SIM_EVENTS = 16, SN_SIM_WORKERS = 4, SN_SIM_CONNS = 16, SN_SIM_COUNTERS = 192 };

/* One direction of one path. Zero means: unlimited rate, no delay, unlimited queue, no fault. */
struct sn_sim_link {
	uint64_t rate_bps; /* bits of frames (Ethernet header included) per second */
	uint64_t delay_ns;
	uint64_t queue_bytes; /* tail drop beyond this backlog */
	double loss;          /* probabilities per frame, independent */
	double duplicate;
	double corrupt; /* one bit of an IP packet is flipped; implies soft_csum */
	double reorder; /* frame is held back by reorder_ns, others overtake it */
	uint64_t reorder_ns;
	uint64_t jitter_ns; /* uniform extra delay, order kept */
};

enum sn_sim_what { SN_SIM_DOWN = 1, SN_SIM_UP = 2 };
struct sn_sim_event {
	uint64_t at_ns;
	uint32_t path;
	uint32_t what; /* enum sn_sim_what, both directions */
};

enum sn_sim_steering {
	SN_SIM_RSS = 0,    /* hash of the 4-tuple: no steering at all */
	SN_SIM_BLOCKS = 1, /* local port blocks go to their worker, the rest by hash */
	SN_SIM_FIRST = 2   /* everything lands on worker 0 */
};
enum sn_sim_pm {
	SN_SIM_PM_SIGNAL = 1,  /* B announces its addresses */
	SN_SIM_PM_SUBFLOW = 2, /* A has subflow endpoints and gateways */
	SN_SIM_PM_FULLMESH = 4 /* A's subflow endpoints are fullmesh */
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
	uint32_t events;
	struct sn_sim_event event[16];
	uint32_t workers_a, workers_b; /* 0: 1 */
	uint8_t steering;              /* enum sn_sim_steering */
	uint8_t pm;                    /* enum sn_sim_pm */
	uint8_t closing;               /* enum sn_sim_close */
	uint8_t sched_a, sched_b;      /* enum sn_sched_id */
	uint8_t csum_a, csum_b;        /* ask for DSS checksums */
	uint8_t tcp_a, tcp_b;          /* plain TCP client, listener */
	uint8_t soft_csum;             /* IP and TCP checksums in software, made and verified */
	uint8_t shared;                /* the first link's wire and queue serve all paths of a direction */
	uint8_t pad;
	uint32_t subflows, add_addr_accepted; /* limits of both hosts */
	uint32_t mtu;                         /* 0: 1500 */
	uint32_t chunk; /* largest send descriptor; sizes are drawn from 1 to this if odd_chunks; 0: 16384 */
	uint32_t odd_chunks;
	uint32_t rcvbuf;                   /* 0: the engine's default */
	uint32_t arena;                    /* send arena of each channel; 0: 4 MiB */
	uint32_t rx_slot_size, rx_slots;   /* 0: 16384 and 512 */
	uint64_t read_rate_a, read_rate_b; /* bytes/s the application reads; 0: at once */
	uint64_t rto_min_ns;               /* 0: the engine's default */
	uint64_t stall_ns;                 /* no application byte for so long: stalled; 0: 100 s */
	char cc[16];                       /* "": the engine's default */
	char tcp_engine[16];
	char pcap[232]; /* "": none, else PATH: PATH-a.pcap and PATH-b.pcap are written */
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
	uint32_t mptcp_conns, tcp_conns; /* as A's application saw them connect */
	uint32_t subflows_peak;          /* of host A */
	uint32_t counter_count;
	uint64_t retransmissions, reinjections, misdirected; /* both hosts */
	uint64_t counters[2][192]; /* per host, summed over workers; names by sn_sim_counter_name() */
};

/* Runs one scenario; returns 0 if it completed, a negative error otherwise (SN_E_INVAL: bad configuration). */
int sn_sim_run(const struct sn_sim_cfg *cfg, struct sn_sim_result *result);
const char *sn_sim_counter_name(uint32_t i);

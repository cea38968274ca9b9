/* netlab: links between network interfaces in real time. One loop carries all links: a frame that arrives at one end waits
 * as long as the link says and leaves at the other end. What a link does is described as for the simulator. */

/* One direction of a link. All zero: a perfect wire. */
struct sn_netlab_link {
	struct sn_sim_link link;
	/* Loss in bursts (Gilbert-Elliott): a state that changes per frame, with a loss probability in each. Off while
	 * burst_enter is zero. */
	double burst_enter; /* calm to burst */
	double burst_leave; /* burst to calm */
	double burst_loss;  /* within a burst */
	double calm_loss;   /* outside */
	uint32_t mtu;       /* longer frames vanish (without ICMP); 0: no limit but the buffers' */
	uint32_t down;
};

/* Of one direction, since the start. Every frame received is in exactly one of: lost, burst_lost, overflow, too_big, no_buffer,
 * down_lost, sent, tx_failed, waiting; duplicates come on top. */
struct sn_netlab_stats {
	uint64_t rx_frames, rx_bytes;
	uint64_t tx_frames, tx_bytes; /* handed to the other interface, duplicates included */
	uint64_t lost, burst_lost;
	uint64_t overflow; /* the queue was full */
	uint64_t down_lost;
	uint64_t too_big;
	uint64_t no_buffer; /* all buffers were waiting */
	uint64_t corrupted, duplicated, reordered;
	uint64_t tx_failed;  /* the interface refused it */
	uint64_t missed;     /* the emulator was too slow: dropped in front of it */
	uint64_t unfinished; /* came without a checksum: switch the sender's offloads off */
	uint64_t delay_ns;   /* sum over tx_frames: arrival to departure */
	uint64_t late_ns;    /* sum over tx_frames: due to departure */
	uint64_t late_max_ns;
	uint64_t queue_bytes; /* now: waiting for the wire; backlog_ns in time */
	uint64_t backlog_ns;
	uint64_t waiting; /* now: frames in the queue and on the wire */
};

struct sn_netlab_load {
	uint64_t cpu_ns; /* of this process; what the hosts do when a frame is handed to them is part of it */
	uint64_t wakeups, frames;
	uint32_t buffers, buffers_used, buffers_peak;
	uint32_t realtime; /* scheduled in real time */
};

struct sn_netlab;

/* `frame`: the longest frame that can pass, `buffers`: how many may wait in total, `grain_ns`: under load the loop sleeps so
 * long between two looks. NULL: out of memory. */
struct sn_netlab *sn_netlab_new(uint32_t frame, uint32_t buffers, uint64_t grain_ns);
void sn_netlab_free(struct sn_netlab *lab);
/* A link between two interfaces, each in the namespace of a descriptor (-1: the caller's). Its number, or an error. */
int sn_netlab_add(struct sn_netlab *lab, int netns_a, const char *if_a, int netns_b, const char *if_b, uint64_t seed);
/* side 0: a to b, 1: b to a. What is under way keeps the time it was given; going down loses it. */
int sn_netlab_set(struct sn_netlab *lab, uint32_t link, uint32_t side, const struct sn_netlab_link *what);
/* The middlebox of a link, in front of both directions (all but SN_SIM_BOX_NAT); all zero: none. */
int sn_netlab_set_box(struct sn_netlab *lab, uint32_t link, const struct sn_sim_box *what);
int sn_netlab_stats(struct sn_netlab *lab, uint32_t link, uint32_t side, struct sn_netlab_stats *out);
void sn_netlab_load(struct sn_netlab *lab, struct sn_netlab_load *out);
/* Real-time scheduling and precise timers for the calling thread, as far as they are granted. */
void sn_netlab_prepare(struct sn_netlab *lab, int realtime);
/* The loop watches this descriptor as well. */
int sn_netlab_watch(struct sn_netlab *lab, int fd);
/* Carries frames. Returns 1 when a watched descriptor can be read, 0 at `until_ns` of CLOCK_MONOTONIC, or an error
 * (SN_E_AGAIN after a signal). */
int sn_netlab_run(struct sn_netlab *lab, uint64_t until_ns);

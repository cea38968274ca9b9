/* Shared memory as Python sees it: the channel (control process, application, tests) and the byte rings that carry
 * messages between the control process and a worker. Python does no byte layout of its own.
 * Calls that can fail return 0 or a negative enum sn_err. */
struct sn_channel; /* one side's view: opaque */
struct sn_ring;    /* one side's view of a byte ring: opaque */

struct sn_channel_geometry {
	uint32_t sq_entries, cq_entries; /* powers of two */
	uint32_t tx_len;                 /* bytes, multiple of 4096 */
	uint32_t rx_slot_size, rx_slots; /* bytes, multiple of 64; number */
};
/* Where the parts of an attached channel lie, from the channel's start. */
struct sn_channel_parts {
	uint32_t worker;
	uint32_t sq_entries, cq_entries;
	uint32_t tx_off, tx_len;
	uint32_t rx_off, rx_slot_size, rx_slots;
};

/* --- control process --- */
/* Bytes of shared memory that a geometry needs, 0 if it is not valid. */
size_t sn_channel_footprint(const struct sn_channel_geometry *g);
/* Writes a fresh header into zeroed memory (control process). */
enum sn_err sn_channel_format(void *mem, size_t size, const struct sn_channel_geometry *g, uint32_t worker);
/* Tells the application that the worker is gone; ring its doorbell afterwards. */
void sn_channel_mark_dead(void *mem);

/* --- both sides --- */
/* A view on the heap. NULL: the header does not fit the memory, or no memory. */
struct sn_channel *sn_channel_new(void *mem, size_t size, bool worker_side, int door_app, int door_worker);
void sn_channel_free(struct sn_channel *ch);
void sn_channel_parts_get(const struct sn_channel *ch, struct sn_channel_parts *out);
/* Doorbells: eventfds or sockets. Neither call blocks. */
void sn_doorbell_ring(int fd);
void sn_doorbell_drain(int fd);

/* --- application --- */
/* SN_E_AGAIN: the submission ring is full. Nobody is woken before sn_app_notify(). */
enum sn_err sn_app_submit(struct sn_channel *ch, const struct sn_sqe *e);
enum sn_err sn_app_send(struct sn_channel *ch, uint32_t conn, uint32_t off, uint32_t len);
enum sn_err sn_app_release(struct sn_channel *ch, uint32_t conn, uint32_t off, uint32_t len);
void sn_app_notify(struct sn_channel *ch);
/* Takes up to n completions; returns how many. */
uint32_t sn_app_reap(struct sn_channel *ch, struct sn_cqe *out, uint32_t n);
/* Before blocking on the doorbell. False: completions are waiting (or the worker is dead), do not block. */
bool sn_app_sleep(struct sn_channel *ch);
/* After blocking: takes the wish to be woken back; rung: the doorbell is readable and is emptied. */
void sn_app_wake(struct sn_channel *ch, bool rung);
uint32_t sn_channel_dead(const struct sn_channel *ch);
/* The worker died or broke the protocol: nothing more comes. */
bool sn_app_lost(const struct sn_channel *ch);

/* --- worker's side, for tests that play the worker --- */
bool sn_worker_pop(struct sn_channel *ch, struct sn_sqe *out);
bool sn_channel_violated(const struct sn_channel *ch);
bool sn_worker_push(struct sn_channel *ch, const struct sn_cqe *e);
void sn_worker_notify(struct sn_channel *ch);
bool sn_worker_sleep(struct sn_channel *ch); /* as sn_app_sleep() */
void sn_worker_wake(struct sn_channel *ch);
/* Copies len bytes into a free slot and publishes SN_CQ_RECV. SN_E_AGAIN: no slot or no room. */
enum sn_err sn_worker_deliver(struct sn_channel *ch, uint32_t conn, const uint8_t *data, uint32_t len);
bool sn_worker_release(struct sn_channel *ch, uint32_t off);
/* Copies a send descriptor's bytes out. SN_E_PROTO: it lies outside the arena. */
enum sn_err sn_worker_fetch(struct sn_channel *ch, uint32_t off, uint8_t *out, uint32_t len);

/* --- byte rings: single producer, single consumer, records with a length --- */
/* Bytes of shared memory for a ring of `capacity` bytes (a power of two, 64 at least), 0 if it is not valid. */
size_t sn_ring_footprint(uint32_t capacity);
enum sn_err sn_ring_format(void *mem, size_t size, uint32_t capacity);
/* A view on the heap; one process makes the producer's, the other the consumer's. door: rung by the producer when
 * the consumer sleeps, -1 for none. NULL: not a ring, or no memory. */
struct sn_ring *sn_ring_new(void *mem, size_t size, bool producer, int door);
void sn_ring_free(struct sn_ring *r);
/* Copies a record in and wakes the consumer if it sleeps. SN_E_AGAIN: no room now, SN_E_MSGSIZE: never fits. */
enum sn_err sn_ring_push(struct sn_ring *r, const void *data, uint32_t len);
/* Copies the oldest record out: its length, or SN_E_AGAIN (empty), SN_E_MSGSIZE (longer than max: it stays),
 * SN_E_PROTO (the producer broke the ring: it is unusable from now on). */
int32_t sn_ring_pop(struct sn_ring *r, void *out, uint32_t max);
bool sn_ring_pending(const struct sn_ring *r);
uint32_t sn_ring_capacity(const struct sn_ring *r);
/* Before blocking on the doorbell / after it, as sn_app_sleep() and sn_app_wake(). */
bool sn_ring_sleep(struct sn_ring *r);
void sn_ring_wake(struct sn_ring *r);

/* SPDX-License-Identifier: Apache-2.0
 *
 * The channel of one application session to one worker (layout: include/abi/20_channel.h). One struct sn_channel per
 * side is a private view: base address, checked copies of the layout, the side's own indices. The worker's view never
 * trusts the header after attach: sizes and offsets are copied and checked once.
 *
 * Thread rule: one thread per side at a time (the SDK locks around the application's side).
 */
#ifndef SN_SHM_CHANNEL_H
#define SN_SHM_CHANNEL_H

#include "sn_abi.h"
#include "sn_base.h"

#include "abi/60_core.h" /* geometry, format, footprint, mark_dead, dead: also seen by Python */

struct sn_channel_hdr; /* shared page; shm/layout.h */

struct sn_channel {
	struct sn_channel_hdr *hdr;
	uint8_t *base;
	size_t size;
	struct sn_sqe *sq;
	struct sn_cqe *cq;
	uint32_t sq_mask, cq_mask;
	uint32_t sq_head, sq_tail; /* own index and last seen of the other's */
	uint32_t cq_head, cq_tail;
	uint32_t tx_off, tx_len;
	uint32_t rx_off, rx_slot_size, rx_slots;
	uint32_t rx_free;       /* worker: number of free slots */
	uint32_t *rx_free_list; /* worker: stack of free slot indices (private memory, rx_slots entries) */
	uint8_t *rx_out;        /* worker: rx_out[slot] != 0 while the application holds it */
	int door_app;           /* doorbell (shm/door.h): wakes the application; -1 in the simulator */
	int door_worker;        /* doorbell: wakes the worker */
	bool violated;     /* the other side broke the protocol (impossible index); nothing more is taken from it */
	uint32_t wake_app; /* worker: completions were published since the last sn_channel_notify_app() */
	uint32_t user[4];  /* owner's */
};

/* Joins a formatted segment. worker_side: allocates the private slot lists. SN_E_PROTO if the header does not fit. */
enum sn_err sn_channel_attach(struct sn_channel *ch, void *mem, size_t size, bool worker_side, int door_app,
			      int door_worker);
uint32_t sn_channel_worker(const struct sn_channel *ch); /* index of the worker, as written by the control process */
void sn_channel_leave(struct sn_channel *ch);            /* frees private memory, does not unmap */

/* Worker's side. After a pop that returned false look at ch->violated: if set, end the session. */
bool sn_channel_sq_pop(struct sn_channel *ch, struct sn_sqe *out); /* copies the entry: read once */
bool sn_channel_sq_empty(const struct sn_channel *ch);
uint32_t sn_channel_cq_room(struct sn_channel *ch);
bool sn_channel_cq_push(struct sn_channel *ch, const struct sn_cqe *e); /* false: full */
/* Rings the application's doorbell once if something was published and it sleeps. */
void sn_channel_notify_app(struct sn_channel *ch);
/* Range check of a send descriptor (off counts from the start of the arena): the address of the bytes, or NULL. */
const uint8_t *sn_channel_tx(const struct sn_channel *ch, uint32_t off, uint32_t len);
/* Takes a free rx slot: its address and offset from the channel's start, or NULL. */
uint8_t *sn_channel_rx_take(struct sn_channel *ch, uint32_t *off);
/* Marks a taken slot as handed out. / Gives a slot back: false if `off` is no slot that the application holds. */
void sn_channel_rx_hand_out(struct sn_channel *ch, uint32_t off);
bool sn_channel_rx_release(struct sn_channel *ch, uint32_t off);
void sn_channel_rx_untake(struct sn_channel *ch, uint32_t off);
/* Sleeping protocol (shm/door.h): prepare sets the flag and fences; the caller looks again, then blocks; cancel clears. */
void sn_channel_worker_sleep_prepare(struct sn_channel *ch);
void sn_channel_worker_sleep_cancel(struct sn_channel *ch);

/* Application's side. */
bool sn_channel_sq_push(struct sn_channel *ch, const struct sn_sqe *e); /* false: full */
void sn_channel_notify_worker(struct sn_channel *ch);
bool sn_channel_cq_pop(struct sn_channel *ch, struct sn_cqe *out);
bool sn_channel_cq_empty(const struct sn_channel *ch);
void sn_channel_app_sleep_prepare(struct sn_channel *ch);
void sn_channel_app_sleep_cancel(struct sn_channel *ch);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * The channel as Python sees it (include/abi/60_core.h): views on the heap and batches, so that one call does much.
 */
#include "shm/channel.h"
#include "shm/door.h"

#include <stdlib.h>

struct sn_channel *sn_channel_new(void *mem, size_t size, bool worker_side, int door_app, int door_worker)
{
	struct sn_channel *ch = malloc(sizeof *ch);

	if (ch && sn_channel_attach(ch, mem, size, worker_side, door_app, door_worker) != SN_OK) {
		free(ch);
		return NULL;
	}
	return ch;
}

void sn_channel_free(struct sn_channel *ch)
{
	if (ch)
		sn_channel_leave(ch);
	free(ch);
}

void sn_channel_parts_get(const struct sn_channel *ch, struct sn_channel_parts *out)
{
	*out = (struct sn_channel_parts){
		.worker = sn_channel_worker(ch),
		.sq_entries = ch->sq_mask + 1,
		.cq_entries = ch->cq_mask + 1,
		.tx_off = ch->tx_off,
		.tx_len = ch->tx_len,
		.rx_off = ch->rx_off,
		.rx_slot_size = ch->rx_slot_size,
		.rx_slots = ch->rx_slots,
	};
}

bool sn_channel_violated(const struct sn_channel *ch) { return ch->violated; }

void sn_doorbell_ring(int fd) { sn_door_ring(fd); }

void sn_doorbell_drain(int fd) { sn_door_drain(fd); }

static enum sn_err pushed(const struct sn_channel *ch, bool ok)
{
	return ok ? SN_OK : ch->violated ? SN_E_PROTO : SN_E_AGAIN;
}

enum sn_err sn_app_submit(struct sn_channel *ch, const struct sn_sqe *e)
{
	return pushed(ch, sn_channel_sq_push(ch, e));
}

enum sn_err sn_app_send(struct sn_channel *ch, uint32_t conn, uint32_t off, uint32_t len)
{
	const struct sn_sqe e = {.op = SN_OP_SEND, .conn = conn, .off = off, .len = len};

	return pushed(ch, sn_channel_sq_push(ch, &e));
}

enum sn_err sn_app_release(struct sn_channel *ch, uint32_t conn, uint32_t off, uint32_t len)
{
	const struct sn_sqe e = {.op = SN_OP_RELEASE, .conn = conn, .off = off, .len = len};

	return pushed(ch, sn_channel_sq_push(ch, &e));
}

void sn_app_notify(struct sn_channel *ch) { sn_channel_notify_worker(ch); }

uint32_t sn_app_reap(struct sn_channel *ch, struct sn_cqe *out, uint32_t n)
{
	uint32_t i = 0;

	while (i < n && sn_channel_cq_pop(ch, &out[i]))
		i++;
	return i;
}

bool sn_app_sleep(struct sn_channel *ch)
{
	sn_channel_app_sleep_prepare(ch);
	if (sn_channel_cq_empty(ch) && !sn_app_lost(ch))
		return true;
	sn_channel_app_sleep_cancel(ch);
	return false;
}

void sn_app_wake(struct sn_channel *ch, bool rung)
{
	sn_channel_app_sleep_cancel(ch);
	if (rung)
		sn_door_drain(ch->door_app);
}

bool sn_app_lost(const struct sn_channel *ch) { return ch->violated || sn_channel_dead(ch); }

bool sn_worker_pop(struct sn_channel *ch, struct sn_sqe *out) { return sn_channel_sq_pop(ch, out); }

bool sn_worker_push(struct sn_channel *ch, const struct sn_cqe *e) { return sn_channel_cq_push(ch, e); }

void sn_worker_notify(struct sn_channel *ch) { sn_channel_notify_app(ch); }

bool sn_worker_sleep(struct sn_channel *ch)
{
	sn_channel_worker_sleep_prepare(ch);
	if (sn_channel_sq_empty(ch))
		return true;
	sn_channel_worker_sleep_cancel(ch);
	return false;
}

void sn_worker_wake(struct sn_channel *ch)
{
	sn_channel_worker_sleep_cancel(ch);
	sn_door_drain(ch->door_worker);
}

enum sn_err sn_worker_deliver(struct sn_channel *ch, uint32_t conn, const uint8_t *data, uint32_t len)
{
	struct sn_cqe e = {.op = SN_CQ_RECV, .conn = conn, .len = len};

	if (len > ch->rx_slot_size)
		return SN_E_MSGSIZE;
	if (sn_channel_cq_room(ch) == 0)
		return SN_E_AGAIN;
	uint8_t *slot = sn_channel_rx_take(ch, &e.off);
	if (!slot)
		return SN_E_AGAIN;
	memcpy(slot, data, len);
	sn_channel_rx_hand_out(ch, e.off);
	sn_channel_cq_push(ch, &e);
	return SN_OK;
}

bool sn_worker_release(struct sn_channel *ch, uint32_t off) { return sn_channel_rx_release(ch, off); }

enum sn_err sn_worker_fetch(struct sn_channel *ch, uint32_t off, uint8_t *out, uint32_t len)
{
	const uint8_t *from = sn_channel_tx(ch, off, len);

	if (!from)
		return SN_E_PROTO;
	memcpy(out, from, len);
	return SN_OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * One direction of a path: a tail-drop queue in front of a wire, by arithmetic. The wire is taken until `busy`; a frame
 * that arrives earlier waits, and is dropped if the backlog would exceed the queue. Links may share one wire: its rate, its
 * queue and its marking are then those of the link that owns it, delay and faults remain each link's own.
 */
#ifndef SN_SIM_LINK_H
#define SN_SIM_LINK_H

#include "sn_abi.h"
#include "sn_base.h"
#include "sn_buf.h"

#include "sim/frame.h"
#include "sim/rng.h"

struct sn_sim_link; /* abi/50_sim.h */

struct sn_sim_half {
	const struct sn_sim_link *cfg;
	struct sn_rng rng;
	bool down;
	bool bad; /* in a burst of losses */
	sn_time bad_since, start;
	uint64_t start_seed;      /* of the outages */
	struct sn_sim_half *wire; /* whose wire this link uses: its own, or another link's if they share one */
	sn_time busy;             /* the own wire is taken until then */
	sn_time last;             /* arrival of the newest frame that keeps its order */
	struct sn_buf *head;      /* in flight, by arrival time (user[0]) */
	struct sn_buf *tail;
	uint64_t frames, lost, overflow, marked, payload;
	uint32_t since_loss; /* frames with payload, for loss_every */
};

void sn_sim_half_init(struct sn_sim_half *l, const struct sn_sim_link *cfg, uint64_t seed, uint64_t stream,
		      sn_time start);
/* Puts a whole frame on the link: it arrives later or never. Takes the buffer; a duplicate comes from its pool. */
void sn_sim_half_send(struct sn_sim_half *l, struct sn_buf *b, sn_time now);
/* When the next frame arrives, SN_TIME_NEVER if none is under way. */
static inline sn_time sn_sim_half_next(const struct sn_sim_half *l)
{
	return l->head ? l->head->user[0] : SN_TIME_NEVER;
}
struct sn_buf *sn_sim_half_take(struct sn_sim_half *l);
/* Bytes that wait for the wire. */
uint64_t sn_sim_half_backlog(const struct sn_sim_half *l, sn_time now);
/* Down: what is in flight is lost, and so is all that follows until up. */
void sn_sim_half_set_down(struct sn_sim_half *l, bool down);

#endif

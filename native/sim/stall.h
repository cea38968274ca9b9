/* SPDX-License-Identifier: Apache-2.0
 *
 * A receiver that forgets its DATA_ACK: after its connection-level queue was full once, a Linux host may go on acknowledging
 * at TCP level while the DATA_ACK stays where it was, and does not say a word when the application drains the queue. Data
 * sent again at connection level, from the DATA_ACK on, wakes it. Made here by writing the old number into what it sends.
 */
#ifndef SN_SIM_STALL_H
#define SN_SIM_STALL_H

#include "sim/frame.h"

struct sn_sim_stall {
	bool on, known; /* known: ack is valid */
	uint32_t ack;   /* low half */
};

static inline void sn_sim_stall_begin(struct sn_sim_stall *s) { *s = (struct sn_sim_stall){.on = true}; }
/* A frame from the host (`from`) or to it; true: it was changed. */
bool sn_sim_stall_frame(struct sn_sim_stall *s, struct sn_sim_frame *f, bool from);

#endif

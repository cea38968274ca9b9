/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/stall.h"

enum { DSS = 2, HAS_ACK = 1, ACK_LONG = 2, HAS_MAP = 4, MAP_LONG = 8 };

/* The low halves of DATA_ACK and of the mapping's first number, NULL if it has none. */
static bool find(const struct sn_sim_frame *f, uint8_t **ack, uint8_t **dsn)
{
	uint32_t at = 0;
	uint8_t *o;

	*ack = *dsn = NULL;
	while ((o = sn_sim_frame_option(f, &at)) != NULL) {
		if (o[0] != SN_SIM_KIND_MPTCP || o[1] < 8 || o[2] >> 4 != DSS)
			continue;
		uint32_t n = 4;
		if (o[3] & HAS_ACK) {
			n += o[3] & ACK_LONG ? 8 : 4;
			*ack = n <= o[1] ? o + n - 4 : NULL;
		}
		if (o[3] & HAS_MAP) {
			n += o[3] & MAP_LONG ? 8 : 4;
			*dsn = n <= o[1] ? o + n - 4 : NULL;
		}
		return true;
	}
	return false;
}

bool sn_sim_stall_frame(struct sn_sim_stall *s, struct sn_sim_frame *f, bool from)
{
	uint8_t *ack, *dsn;

	if (!s->on || !find(f, &ack, &dsn))
		return false;
	if (!from) {
		/* What was sent before the stall began and is still under way starts further on. */
		if (s->known && f->payload && dsn && sn_get32(dsn) == s->ack)
			s->on = false;
		return false;
	}
	if (!ack)
		return false;
	if (!s->known) {
		s->ack = sn_get32(ack);
		s->known = true;
	}
	sn_put32(ack, s->ack);
	return true;
}

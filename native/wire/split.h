/* SPDX-License-Identifier: Apache-2.0
 *
 * Cuts a unit (sn_buf.h) into the frames that its segments would have been, each sent alone. Every frame has the unit's
 * headers but for
 *
 *   IPv4  total length; identification, which counts on; header checksum
 *   IPv6  payload length
 *   TCP   sequence number; PSH on the last only; CWR on the first only (RFC 3168 6.1.2); checksum
 *
 * Checksums are made here if the unit says SN_TX_CSUM_DONE, otherwise both fields stay zero for the port to fill in.
 */
#ifndef SN_WIRE_SPLIT_H
#define SN_WIRE_SPLIT_H

#include "sn_buf.h"

struct sn_split {
	const struct sn_tx *unit;
	uint32_t left; /* payload bytes not handed out yet */
	uint32_t seq;
	uint16_t id;
	uint16_t offset_flags;    /* TCP: offset and flags as they stand in the unit's header */
	uint32_t ip_sum, tcp_sum; /* of what is the same in all frames */
	uint32_t off;             /* in ref[ref]: where the next frame's payload begins */
	uint8_t ref;
	bool v6;
};

/* The unit and its header stay as they are until the last frame is cut. */
void sn_split_begin(struct sn_split *s, const struct sn_tx *unit);
/* The next frame: unit->hdr->len bytes of headers at `hdr`, and `out` but for out->hdr. `hdr` may be the unit's own for
 * the last frame, see sn_split_last(). There is one. */
void sn_split_next(struct sn_split *s, uint8_t *hdr, struct sn_tx *out);
static inline bool sn_split_done(const struct sn_split *s) { return !s->left; }
static inline bool sn_split_last(const struct sn_split *s) { return s->left <= s->unit->seg_size; }

#endif

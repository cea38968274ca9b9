/* SPDX-License-Identifier: Apache-2.0
 *
 * A router that cuts packets into fragments (RFC 791 3.2, RFC 8200 4.5), whatever their DF bit says. The engine's own codecs
 * are not used here.
 */
#ifndef SN_SIM_FRAGMENT_H
#define SN_SIM_FRAGMENT_H

#include "sim/frame.h"

/* Piece `n` of a whole segment in b, of at most `step` bytes (a multiple of 8) behind the IP header; id: of the packet.
 * From b's pool; NULL: it is empty. *more: it is not the last one. */
struct sn_buf *sn_sim_fragment(const struct sn_buf *b, const struct sn_sim_frame *f, uint32_t n, uint32_t step,
			       uint32_t id, bool *more);

#endif

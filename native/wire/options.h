/* SPDX-License-Identifier: Apache-2.0
 *
 * The shape of an option rule, shared by the walk (tcp.c) and the MPTCP part (mp_opts.c). Private to native/wire.
 */
#ifndef SN_WIRE_OPTIONS_H
#define SN_WIRE_OPTIONS_H

#include "wire/tcp.h"

enum sn_opt_kind {
	SN_KIND_END = 0,
	SN_KIND_NOP = 1,
	SN_KIND_MSS = 2,
	SN_KIND_WSCALE = 3,
	SN_KIND_SACK_OK = 4,
	SN_KIND_SACK = 5,
	SN_KIND_TS = 8,
	SN_KIND_MPTCP = 30,
	SN_KIND_FASTOPEN = 34
};

/* Bit n of a length mask: the option may be n bytes long, kind and length bytes included. */
#define SN_LEN(n) (1ull << (n))

/* One row: the lengths that are legal and what to do then. `p` is the kind byte; `len` bytes are there and `len` is in
 * `lengths`. Returns false if the contents contradict the length. */
struct sn_opt_rule {
	uint64_t lengths;
	bool (*take)(struct sn_tcp_seg *seg, const uint8_t *p, uint32_t len);
};

/* Rows of option kind 30 by MPTCP subtype. */
extern const struct sn_opt_rule sn_mp_rules[16];

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole frame as the network between the hosts sees it: the fields that links and middleboxes read and rewrite. The
 * engine's own codecs are not used here, so that a mistake in them does not hide itself.
 *
 *   IPv4 (RFC 791): 0 version, header length   1 ToS (ECN: low two bits)      2 total length   9 protocol
 *                   10 checksum                12 source                      16 destination
 *   IPv6 (RFC 8200): 0 version, traffic class, flow label (ECN: 0x30 of byte 1) 4 payload length
 *                   6 next header              8 source                       24 destination
 *   Extension headers are none of those that a link or middlebox here understands: it sees no TCP then.
 */
#ifndef SN_SIM_FRAME_H
#define SN_SIM_FRAME_H

#include "sn_base.h"
#include "sn_buf.h"

enum { SN_SIM_FIN = 1, SN_SIM_SYN = 2, SN_SIM_RST = 4, SN_SIM_PSH = 8, SN_SIM_ACK = 16, SN_SIM_CWR = 128 };
enum { SN_SIM_KIND_MSS = 2, SN_SIM_KIND_SACK = 5, SN_SIM_KIND_MPTCP = 30 };

/* A TCP segment in IPv4 or IPv6; pointers into the buffer. */
struct sn_sim_frame {
	uint8_t *ip, *tcp, *data;
	uint32_t payload; /* bytes at data */
	bool v6;
};

/* False: not a whole TCP segment in IPv4 or IPv6. */
bool sn_sim_frame_parse(struct sn_sim_frame *f, const struct sn_buf *b);
static inline uint8_t sn_sim_frame_flags(const struct sn_sim_frame *f) { return f->tcp[13]; }
static inline uint32_t sn_sim_frame_seq(const struct sn_sim_frame *f) { return sn_get32(f->tcp + 4); }
/* The next option; *at starts at 0. NULL: no more. The option has out[1] bytes and stands in the header. */
uint8_t *sn_sim_frame_option(const struct sn_sim_frame *f, uint32_t *at);
/* The ECN field (RFC 3168 5). */
static inline uint8_t sn_sim_frame_ecn(const struct sn_sim_frame *f) { return (f->v6 ? f->ip[1] >> 4 : f->ip[1]) & 3; }
/* The same addresses, in the same order. */
bool sn_sim_frame_same_hosts(const struct sn_sim_frame *a, const struct sn_sim_frame *b);
/* Writes the IP length for this payload, and the checksums there are if asked to. */
void sn_sim_frame_finish(struct sn_sim_frame *f, struct sn_buf *b, bool csum);
/* IP that may be marked (ECT) is marked Congestion Experienced. */
bool sn_sim_frame_mark(struct sn_buf *b);
/* A copy with a buffer from the same pool, NULL if that is empty. */
struct sn_buf *sn_sim_frame_copy(const struct sn_buf *b);

#endif

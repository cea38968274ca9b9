/* SPDX-License-Identifier: Apache-2.0
 *
 * MPTCP version 1 (RFC 8684) above the TCP adaptation layer: socket manager, path manager, packet schedulers, data
 * sequence space. What the engine calls is declared here; records live in mptcp/conn.h.
 */
#ifndef SN_MPTCP_H
#define SN_MPTCP_H

#include "engine/slab.h"
#include "sn_abi.h"
#include "sn_base.h"
#include "sn_tcp_ops.h"

struct sn_engine;
struct sn_conn;
struct sn_channel;
struct sn_sqe;

#include "mptcp/mptcp_internal.h" /* struct sn_mptcp: tables, listeners, endpoints, run queue */

/* Lays tables out in the engine's region. */
bool sn_mptcp_init(struct sn_engine *e);

/* What to do with a SYN that matches no flow. */
enum sn_syn_verdict {
	SN_SYN_TAKEN,  /* a record was made (or the SYN was silently dropped and counted) */
	SN_SYN_REFUSE, /* nobody listens: the caller answers RST; opts/opt_len may hold MP_TCPRST */
	SN_SYN_FORWARD /* an MP_JOIN for worker *owner */
};
enum sn_syn_verdict sn_mptcp_syn(struct sn_engine *e, uint16_t port, const struct sn_flow *flow,
				 const struct sn_tcp_seg *syn, uint32_t *owner, uint8_t *opts, uint32_t *opt_len,
				 sn_time now);

/* An ACK (no SYN, no RST) that matches no flow. */
enum sn_ack_verdict {
	SN_ACK_STRANGE, /* nobody's: the caller answers RST */
	SN_ACK_OPENED,  /* the third ACK to a cookie: *tcp is to take it */
	SN_ACK_DROPPED, /* it is one, but there is no room now */
	SN_ACK_QUIET    /* to a cookie, but another segment opens the connection: no RST */
};
enum sn_ack_verdict sn_mptcp_ack(struct sn_engine *e, uint16_t port, const struct sn_flow *flow,
				 const struct sn_tcp_seg *ack, struct sn_tcp **tcp, sn_time now);

/* Does somebody listen on this local port? */
bool sn_mptcp_listens(const struct sn_engine *e, uint16_t lport);

/* One submission of the channel in slot `slot`. Returns false when the application broke the protocol (the caller ends
 * the session). A refused but legal request answers SN_CQ_ERROR and returns true. */
bool sn_mptcp_submit(struct sn_engine *e, uint32_t slot, const struct sn_sqe *sqe, sn_time now);
/* Work put off to the end of a burst: deliveries to channels, scheduling of new data, ACKs owed. Returns work done. */
uint32_t sn_mptcp_run(struct sn_engine *e, sn_time now);
/* As sn_tcp_ops.prune, at connection level. */
void sn_mptcp_prune(struct sn_engine *e, uint32_t most, uint32_t hog);
/* True if sn_mptcp_run has something that waits for nothing but time on the CPU. */
bool sn_mptcp_runnable(const struct sn_engine *e);

/* Ends everything of one channel at once (application died or broke the protocol). */
void sn_mptcp_channel_gone(struct sn_engine *e, uint32_t slot, sn_time now);
void sn_mptcp_drain(struct sn_engine *e, sn_time now);

/* MP_FASTCLOSE for the RST that ends a dead worker's subflow, so that the peer does not wait for a re-join; 0 bytes if the
 * flow was plain TCP. `owner` is what the record says: it is only followed into this engine's own tables. */
uint32_t sn_mptcp_last_words(const struct sn_engine *e, const struct sn_subflow *owner, uint8_t *out);

enum sn_err sn_mptcp_endpoint_add(struct sn_engine *e, const struct sn_endpoint *ep, sn_time now);
enum sn_err sn_mptcp_endpoint_del(struct sn_engine *e, uint8_t id, sn_time now);
enum sn_err sn_mptcp_pm_command(struct sn_engine *e, const struct sn_pm_command *cmd, sn_time now);
/* pm_events.c */
void sn_mptcp_watch(struct sn_engine *e, bool on);
uint32_t sn_mptcp_events(struct sn_engine *e, struct sn_pm_event *out, uint32_t n, uint64_t *lost);
/* Limits were changed: connections look again at what they may open. */
void sn_mptcp_policy_changed(struct sn_engine *e);
uint32_t sn_mptcp_conn_info(const struct sn_engine *e, uint32_t *cursor, struct sn_conn_info *out, uint32_t n);
uint32_t sn_mptcp_subflow_info(const struct sn_engine *e, uint32_t conn, struct sn_subflow_info *out, uint32_t n);

#endif

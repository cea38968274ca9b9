/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a segment may be: the path MTU of a flow (pmtu.c), and what ICMP errors mean to it (icmp.c). Included by tcp.h
 * only.
 */
#ifndef SN_TCP_PMTU_H
#define SN_TCP_PMTU_H

struct sn_tcp_pmtu {
	struct sn_timer timer; /* the next step of the search for a larger one */
	uint16_t mtu;          /* what the path is taken to carry, L3 bytes; 0: no SYN of the peer yet */
	uint16_t top;          /* what the port and the peer's MSS allow */
	uint16_t most;         /* search: the largest that is not known to be too large */
	uint16_t size;         /* search: of the probe, wanted or in flight */
	bool searching : 1;
	bool halve : 1;  /* `most` itself failed: what lies between is tried */
	bool flying : 1; /* the probe is out; it ends at `end` */
	bool raised : 1; /* sn_tcp_send() is cutting the probe now */
	bool doubt : 1;  /* full segments vanish: the first in flight goes in smaller pieces */
	uint8_t lost;    /* probes of this size lost in a row */
	uint8_t idle;    /* times in a row that there was nothing to make a probe of */
	uint8_t calm;    /* retransmissions of the segment at `una` while the path answered */
	uint8_t tries;   /* in doubt: transmissions of its first piece */
	sn_time again;   /* in doubt: when it went for the second time */
	uint32_t una;    /* first segment in flight when one was last sent again more than once */
	uint32_t end;
};

/* The handshake tells how long a segment may be at most (payload and TCP options): sets mtu and peer_mss. */
void sn_pmtu_begin(struct sn_tcp *t, uint32_t peer_mss, sn_time now);
void sn_pmtu_stop(struct sn_tcp *t);
/* A router says what its next link carries; 0: it does not say. */
void sn_pmtu_too_big(struct sn_tcp *t, uint32_t mtu, sn_time now);
/* Before a record is sent again that was sent again before, or is longer than t->mss: makes it fit. False: no records or
 * buffers. */
bool sn_pmtu_again(struct sn_tcp *t, struct sn_tcp_txseg *s, sn_time now);
/* RACK takes `s` for lost. True: it was the probe, and is on its way again in pieces that fit: no congestion. */
bool sn_pmtu_probe_lost(struct sn_tcp *t, struct sn_tcp_txseg *s, sn_time now);
/* Something was acknowledged while there was doubt. */
void sn_pmtu_progress(struct sn_tcp *t, sn_time now);
/* Around the sending of new data while t->probing is SN_PROBING_PMTU: one segment is cut to the size of the probe if there
 * is enough data. */
void sn_pmtu_raise(struct sn_tcp *t, uint32_t len);
void sn_pmtu_settle(struct sn_tcp *t, sn_time now);
/* What the path carries, for whom it may interest. */
uint32_t sn_pmtu_known(const struct sn_tcp *t);

/* icmp.c: sn_tcp_ops.error */
void sn_tcp_icmp_error(struct sn_tcp *t, const struct sn_icmp_error *m, sn_time now);
/* Why nobody answers, as far as ICMP told since the last progress; else SN_E_TIMEDOUT. */
enum sn_err sn_tcp_silence(const struct sn_tcp *t);

#endif

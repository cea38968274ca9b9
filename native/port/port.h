/* SPDX-License-Identifier: Apache-2.0
 *
 * Ports over DPDK ethdev: start-up, capability probe, receive and transmit bursts, what to sleep on, exact flow rules.
 *
 * Everything is made before the fork; queue n belongs to worker n and is touched by nobody else. The functions for
 * queues take the queue's own state (struct sn_port_queue) and may run in different processes at the same time.
 *
 * Payload is sent from where it lies if the driver copies inside its transmit burst (it is done with the memory when the
 * burst returns) and takes a packet in several pieces; for every other driver it is copied, because memory of
 * applications is not registered for DMA.
 */
#ifndef SN_PORT_PORT_H
#define SN_PORT_PORT_H

#include "port/pool.h"
#include "sn_base.h"
#include "sn_buf.h"

struct sn_port_queue {
	struct sn_bufs *pool; /* of the worker that owns the queue */
	int wait_fd;          /* readable when frames are waiting; -1: nothing to sleep on */
	bool kernel;          /* wait_fd is a packet socket: frames left in its send ring have to be kicked on */
	bool intr;            /* wait_fd is an interrupt: armed by sn_port_sleep() */
	sn_time kick;         /* when to kick it next, SN_TIME_NEVER: nothing was sent since the last kick */
	uint8_t *ring;        /* the packet socket's rings in our address space (port/resync.h), NULL: not known */
	uint32_t frame_size, frames;
	bool resync; /* our predecessor died: the driver may have lost its place in the receive ring */
	uint64_t tx_full, tx_nobuf, rx_bad;
	uint64_t rx_vlan; /* frames of other VLANs; the worker moves it to its counters */
} SN_ALIGNED;

struct sn_port {
	uint16_t dev; /* ethdev id */
	uint16_t index;
	uint16_t queues;
	uint16_t mtu;
	uint16_t vlan; /* frames bear this tag outside, none inside; 0: none at all */
	uint8_t mac[6];
	bool tx_csum;       /* fills in IPv4 and TCP checksums */
	bool rx_csum;       /* verifies them */
	bool tso;           /* cuts units (sn_buf.h) itself */
	uint32_t unit_max;  /* payload of the units that sn_port_tx() takes */
	bool multi_seg;     /* takes a packet in several pieces */
	bool copies;        /* is done with a packet's memory when the burst returns */
	bool holds_rx;      /* has buffers of ours in its receive rings */
	uint8_t flow_rules; /* accepted a sample exact rule: bit SN_FAMILY_* */
	bool started;
	int ifindex; /* of the Linux interface below, 0: none */
	int hear_fd; /* keeps the interface in a multicast group, -1: none */
	char name[64];
	char driver[32];
	struct sn_port_flows *flows;
	struct sn_port_queue queue[SN_MAX_WORKERS];
};

/* What sn_port_open() is told. */
struct sn_port_open {
	const char *name;   /* for messages: as the user gave it */
	const char *device; /* the ethdev's name */
	int ifindex;        /* of the Linux interface, 0: none */
	uint16_t mtu;       /* L3 bytes */
	uint16_t vlan;      /* 0: none */
	uint16_t queues;
	struct sn_addr addr6;        /* the port's IPv6 address, ::: none */
	uint32_t frame_size, frames; /* of a packet socket's rings, 0: none */
	struct sn_bufs *pools;       /* [queue] */
};

/* Starts the environment abstraction layer. Once per process. */
enum sn_err sn_port_eal_init(int argc, char **argv);
/* Ends it: control process only, after every worker is gone. Writes the directory it leaves behind to dir. */
void sn_port_eal_fini(char *dir, size_t size);
/* The version the binary runs with, "" without DPDK. */
const char *sn_port_eal_version(void);

enum sn_err sn_port_open(struct sn_port *p, uint16_t index, const struct sn_port_open *o);
void sn_port_close(struct sn_port *p);

struct sn_port_stats {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, rx_missed, rx_errors, tx_errors;
	uint64_t rx_nobuf;
	uint32_t flow_rules, link_up;
};
void sn_port_stats(const struct sn_port *p, struct sn_port_stats *out);

/* --- by the worker that owns the queue --- */
uint32_t sn_port_rx(struct sn_port *p, uint32_t queue, struct sn_buf **v, uint32_t n);
/* Sends n frames or units; what the queue does not take after a bounded retry is dropped and counted. Takes every header. */
void sn_port_tx(struct sn_port *p, uint32_t queue, struct sn_tx *v, uint32_t n, sn_time now);
/* Before blocking: arms the interrupt if there is one, kicks what is left in the send ring. Returns when the queue must
 * be looked at again whatever happens, SN_TIME_NEVER if wait_fd says it all. */
sn_time sn_port_sleep(struct sn_port *p, uint32_t queue, sn_time now);
void sn_port_wake(struct sn_port *p, uint32_t queue, short revents);
/* A new process takes the queue over: the driver lets go of the buffers that it holds / starts anew with fresh ones. */
enum sn_err sn_port_queue_stop(struct sn_port *p, uint32_t queue);
enum sn_err sn_port_queue_start(struct sn_port *p, uint32_t queue);

/* --- control process: exact rules. flow is as this host sees it --- */
/* Sends the flow's segments to a queue. Returns a rule's number, SN_E_NOTSUP if the port cannot, SN_E_NOSPC. */
int32_t sn_port_flow_ask(struct sn_port *p, uint32_t queue, const struct sn_flow *flow);
enum sn_err sn_port_flow_drop(struct sn_port *p, int32_t rule);
/* For native/port: families, as bits, whose flows the port takes such a rule for. */
uint8_t sn_port_flow_probe(struct sn_port *p);
/* For native/port: lets in what is sent to the solicited-node group of an address (RFC 4291 2.7.1): without it no
 * neighbour finds the address, since the kernel leaves the group when the address is taken from it. */
enum sn_err sn_port_hear(struct sn_port *p, const struct sn_addr *addr);
void sn_port_flow_fini(struct sn_port *p);
uint32_t sn_port_flow_count(const struct sn_port *p);

#endif

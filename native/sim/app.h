/* SPDX-License-Identifier: Apache-2.0
 *
 * The application of one simulated host: a channel to each worker, and per connection a script: connect or accept, send
 * a pseudo-random stream, verify the peer's, end. It sees nothing but its side of the channel.
 */
#ifndef SN_SIM_APP_H
#define SN_SIM_APP_H

#include "shm/channel.h"
#include "sim/rng.h"

struct sn_sim;
struct sn_sim_cfg;

struct sn_sim_rx {
	uint32_t off, len;
};

/* One connection as one application sees it. */
struct sn_sim_conn {
	bool open, eof, shut, close_sent, closed;
	bool failed;   /* ended with an error */
	bool hopeless; /* given up: aborted as soon as it can be */
	uint32_t worker, conn;
	uint16_t cport;                     /* the client's port: names the connection on both sides */
	uint64_t tx_stream, rx_stream;      /* content; rng.h */
	uint64_t tx_total, tx_sub, tx_back; /* bytes: to send, submitted, given back */
	uint64_t rx_total, rx_got, rx_read; /* bytes: expected, arrived, verified and released */
	uint32_t arena_off, arena_len;      /* a ring of send memory */
	struct sn_sim_rx *rx;               /* arrived, not yet released: ring of rx_cap */
	uint32_t rx_head, rx_tail, rx_cap;
	sn_time read_at; /* slow reader: not before */
	sn_time began;   /* client: when it was connected */
};

struct sn_sim_app {
	struct sn_sim *sim;
	uint32_t side; /* 0: client on A, 1: server on B */
	uint32_t workers, conns;
	struct sn_rng rng;
	struct {
		void *mem;
		size_t size;
		struct sn_channel app, worker;
		int32_t slot;
	} ch[4];
	uint32_t listening;
	bool all_listen;
	bool dead; /* its memory is gone */
	bool quit; /* it gives up everything that is open */
	uint32_t accepted, opened;
	struct sn_sim_conn conn[16];
};

enum { SN_SIM_SERVER_PORT = 5000 };

bool sn_sim_app_init(struct sn_sim_app *a, struct sn_sim *sim, uint32_t side);
void sn_sim_app_close(struct sn_sim_app *a);
static inline char sn_sim_app_name(const struct sn_sim_app *a) { return (char)('A' + a->side); }
/* app_events.c: one completion. */
void sn_sim_app_complete(struct sn_sim_app *a, uint32_t worker, const struct sn_cqe *e);
/* Dies: its channels are detached and unmapped. */
void sn_sim_app_die(struct sn_sim_app *a);
/* True if its connections may end with an error. */
bool sn_sim_app_tolerant(const struct sn_sim_app *a);
/* Server: listens on every worker; the client connects once all of them do. */
void sn_sim_app_listen(struct sn_sim_app *a);
/* Takes completions and goes on with every script as far as it gets. Returns true if anything was done. */
bool sn_sim_app_run(struct sn_sim_app *a);
/* message.c: when message i of a connection is due, counted from its beginning; and what a delivery means. */
sn_time sn_sim_message_due(const struct sn_sim_cfg *c, const struct sn_sim_conn *k, uint64_t i);
void sn_sim_message_got(struct sn_sim_app *a, const struct sn_sim_conn *k, uint64_t before);
/* The other end of a connection, as its application sees it; NULL: not there yet. */
struct sn_sim_conn *sn_sim_app_peer(const struct sn_sim_app *a, const struct sn_sim_conn *k);
/* When a script goes on by itself. */
sn_time sn_sim_app_next(const struct sn_sim_app *a);
/* Every connection closed, everything read. */
bool sn_sim_app_done(const struct sn_sim_app *a);
/* Server: gives up its listeners. */
void sn_sim_app_unlisten(struct sn_sim_app *a);
/* What a connection that is not done waits for. */
void sn_sim_app_describe(const struct sn_sim_app *a, char *out, size_t size);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * The port layer of a build without DPDK: everything says so.
 */
#include "port/error.h"
#include "port/port.h"

static enum sn_err none(void)
{
	return sn_fail(SN_E_NOTSUP, "built without DPDK: install libdpdk-dev and build again");
}

enum sn_err sn_port_eal_init(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return none();
}

void sn_port_eal_fini(char *dir, size_t size)
{
	if (size)
		*dir = 0;
}

const char *sn_port_eal_version(void) { return ""; }

enum sn_err sn_port_open(struct sn_port *p, uint16_t index, const struct sn_port_open *o)
{
	(void)p;
	(void)index;
	(void)o;
	return none();
}

void sn_port_close(struct sn_port *p) { (void)p; }

void sn_port_stats(const struct sn_port *p, struct sn_port_stats *out)
{
	(void)p;
	memset(out, 0, sizeof *out);
}

uint32_t sn_port_rx(struct sn_port *p, uint32_t queue, struct sn_buf **v, uint32_t n)
{
	(void)p;
	(void)queue;
	(void)v;
	(void)n;
	return 0;
}

void sn_port_tx(struct sn_port *p, uint32_t queue, struct sn_tx *v, uint32_t n, sn_time now)
{
	(void)p;
	(void)queue;
	(void)now;
	for (uint32_t i = 0; i < n; i++)
		sn_buf_free(v[i].hdr);
}

sn_time sn_port_sleep(struct sn_port *p, uint32_t queue, sn_time now)
{
	(void)p;
	(void)queue;
	return now + SN_MSEC;
}

void sn_port_wake(struct sn_port *p, uint32_t queue, short revents)
{
	(void)p;
	(void)queue;
	(void)revents;
}

enum sn_err sn_port_queue_stop(struct sn_port *p, uint32_t queue)
{
	(void)p;
	(void)queue;
	return none();
}

enum sn_err sn_port_queue_start(struct sn_port *p, uint32_t queue)
{
	(void)p;
	(void)queue;
	return none();
}

int32_t sn_port_flow_ask(struct sn_port *p, uint32_t queue, const struct sn_flow *flow)
{
	(void)p;
	(void)queue;
	(void)flow;
	return none();
}

enum sn_err sn_port_flow_drop(struct sn_port *p, int32_t rule)
{
	(void)p;
	(void)rule;
	return none();
}

enum sn_err sn_bufs_create(struct sn_bufs *p, const char *name, uint32_t worker, uint32_t count, uint32_t frame,
			   uint32_t refs)
{
	(void)p;
	(void)name;
	(void)worker;
	(void)count;
	(void)frame;
	(void)refs;
	return none();
}

size_t sn_bufs_footprint(uint32_t count, uint32_t frame, uint32_t refs)
{
	(void)refs;
	return (size_t)count * frame;
}

void sn_bufs_destroy(struct sn_bufs *p) { (void)p; }
void sn_bufs_reset(struct sn_bufs *p) { (void)p; }

uint32_t sn_bufs_reclaim(struct sn_bufs *p, uint32_t holder)
{
	(void)p;
	(void)holder;
	return 0;
}

void sn_bufs_came_home(struct sn_bufs *p, struct sn_buf *b)
{
	(void)p;
	(void)b;
}

uint32_t sn_bufs_free_count(const struct sn_bufs *p)
{
	(void)p;
	return 0;
}

uint32_t sn_bufs_lent_count(const struct sn_bufs *p)
{
	(void)p;
	return 0;
}

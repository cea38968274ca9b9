/* SPDX-License-Identifier: Apache-2.0
 *
 * Network address and port translation: to B, A is 10.0.path.3 with other ports. Rebinding forgets every flow: the next
 * segment from inside gets a new port, and what comes for the old one is lost. IPv4 only, as NATs are.
 */
#include "sim/sim.h"

enum { NAT_HOST = 3, FIRST_PORT = 20000, ARP = 14, ARP_SENDER_IP = ARP + 14, ARP_TARGET_IP = ARP + 24 };

static uint32_t inside_addr(const struct sn_sim_middle *m) { return sn_sim_host_ipv4(0, m->path); }
static uint32_t outside_addr(const struct sn_sim_middle *m) { return (inside_addr(m) & ~0xffu) | NAT_HOST; }

static uint16_t outside_port(struct sn_sim_middle *m, uint16_t inside)
{
	for (uint32_t i = m->flows; i-- > 0;)
		if (m->flow[i].inside == inside && !m->flow[i].gone)
			return m->flow[i].outside;
	if (m->flows == SN_SIM_NAT_FLOWS)
		return 0;
	uint16_t port = (uint16_t)(FIRST_PORT + m->path * SN_SIM_NAT_FLOWS + m->flows);
	m->flow[m->flows++] = (struct sn_sim_nat_flow){.inside = inside, .outside = port};
	return port;
}

bool sn_sim_nat_tcp(struct sn_sim_middle *m, uint32_t dir, struct sn_sim_frame *f)
{
	if (dir == 0) {
		uint16_t port = outside_port(m, sn_get16(f->tcp));
		if (sn_get32(f->ip + 12) != inside_addr(m) || !port)
			return false;
		sn_put32(f->ip + 12, outside_addr(m));
		sn_put16(f->tcp, port);
		return true;
	}
	uint16_t port = sn_get16(f->tcp + 2);
	if (sn_get32(f->ip + 16) != outside_addr(m))
		return false;
	for (uint32_t i = 0; i < m->flows; i++)
		if (m->flow[i].outside == port && !m->flow[i].gone) {
			sn_put32(f->ip + 16, inside_addr(m));
			sn_put16(f->tcp + 2, m->flow[i].inside);
			return true;
		}
	return false;
}

void sn_sim_nat_arp(struct sn_sim_middle *m, uint32_t dir, struct sn_buf *b)
{
	if (b->len < ARP + 28 || sn_get16(b->data + 12) != 0x0806)
		return;
	if (dir == 0 && sn_get32(b->data + ARP_SENDER_IP) == inside_addr(m))
		sn_put32(b->data + ARP_SENDER_IP, outside_addr(m));
	if (dir == 1 && sn_get32(b->data + ARP_TARGET_IP) == outside_addr(m))
		sn_put32(b->data + ARP_TARGET_IP, inside_addr(m));
}

uint16_t sn_sim_nat_inside(const struct sn_sim_middle *m, uint16_t outside)
{
	for (uint32_t i = 0; i < m->flows; i++)
		if (m->flow[i].outside == outside)
			return m->flow[i].inside;
	return outside;
}

void sn_sim_middle_rebind(struct sn_sim_middle *m)
{
	for (uint32_t i = 0; i < m->flows; i++)
		m->flow[i].gone = true;
}

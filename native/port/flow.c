/* SPDX-License-Identifier: Apache-2.0
 *
 * Exact rte_flow rules: one TCP 4-tuple to one queue. Made and dropped by the control process; the table of rules is its
 * own and is not needed to tell a stale rule from a live one.
 */
#include "port/port.h"

#include <stdio.h>
#include <stdlib.h>

#include <rte_flow.h>

#include "port/error.h"

enum { SN_FLOW_RULES = 1024 };

struct sn_port_flows {
	uint32_t used;
	struct rte_flow *rule[SN_FLOW_RULES];
};

struct rule {
	union {
		struct {
			struct rte_flow_item_ipv4 spec, mask;
		} v4;
		struct {
			struct rte_flow_item_ipv6 spec, mask;
		} v6;
	} ip;
	struct rte_flow_item_tcp tcp;
	struct rte_flow_action_queue queue;
};

static struct rte_flow_item item_ipv4(struct rule *r, const struct sn_flow *flow)
{
	r->ip.v4.spec.hdr.src_addr = rte_cpu_to_be_32(sn_addr_v4_get(&flow->remote));
	r->ip.v4.spec.hdr.dst_addr = rte_cpu_to_be_32(sn_addr_v4_get(&flow->local));
	r->ip.v4.mask.hdr.src_addr = r->ip.v4.mask.hdr.dst_addr = UINT32_MAX;
	return (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &r->ip.v4.spec, .mask = &r->ip.v4.mask};
}

static struct rte_flow_item item_ipv6(struct rule *r, const struct sn_flow *flow)
{
	memcpy(&r->ip.v6.spec.hdr.src_addr, flow->remote.b, 16);
	memcpy(&r->ip.v6.spec.hdr.dst_addr, flow->local.b, 16);
	memset(&r->ip.v6.mask.hdr.src_addr, 0xff, 16);
	memset(&r->ip.v6.mask.hdr.dst_addr, 0xff, 16);
	return (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_IPV6, .spec = &r->ip.v6.spec, .mask = &r->ip.v6.mask};
}

/* Fills in pattern and actions for segments from flow->remote to flow->local. */
static void describe(struct rule *r, const struct sn_flow *flow, uint32_t queue, struct rte_flow_item pattern[4],
		     struct rte_flow_action actions[2])
{
	static const struct rte_flow_item_tcp tcp_mask = {.hdr = {.src_port = UINT16_MAX, .dst_port = UINT16_MAX}};

	memset(r, 0, sizeof *r);
	r->tcp.hdr.src_port = rte_cpu_to_be_16(flow->rport);
	r->tcp.hdr.dst_port = rte_cpu_to_be_16(flow->lport);
	r->queue.index = (uint16_t)queue;
	pattern[0] = (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_ETH};
	pattern[1] = sn_addr_is_v4(&flow->local) ? item_ipv4(r, flow) : item_ipv6(r, flow);
	pattern[2] = (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_TCP, .spec = &r->tcp, .mask = &tcp_mask};
	pattern[3] = (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_END};
	actions[0] = (struct rte_flow_action){.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &r->queue};
	actions[1] = (struct rte_flow_action){.type = RTE_FLOW_ACTION_TYPE_END};
}

static const struct rte_flow_attr ingress = {.ingress = 1};

uint8_t sn_port_flow_probe(struct sn_port *p)
{
	/* Addresses for documentation (RFC 5737, RFC 3849): validated, never made. */
	struct sn_flow sample[SN_FAMILIES] = {
		[SN_FAMILY_4] = {.local = sn_addr_v4(0xc0000201), .remote = sn_addr_v4(0xc6336401)},
		[SN_FAMILY_6] = {.local = {{0x20, 0x01, 0x0d, 0xb8, [15] = 1}},
				 .remote = {{0x20, 0x01, 0x0d, 0xb8, [15] = 2}}}};
	struct rte_flow_item pattern[4];
	struct rte_flow_action actions[2];
	uint8_t takes = 0;

	for (uint32_t i = 0; i < SN_FAMILIES; i++) {
		struct rte_flow_error error = {0};
		struct rule r;
		sample[i].lport = 40000;
		sample[i].rport = 443;
		describe(&r, &sample[i], p->queues - 1u, pattern, actions);
		if (rte_flow_validate(p->dev, &ingress, pattern, actions, &error) == 0)
			takes |= (uint8_t)(1u << i);
	}
	return takes;
}

int32_t sn_port_flow_ask(struct sn_port *p, uint32_t queue, const struct sn_flow *flow)
{
	struct rte_flow_error error = {0};
	struct rule r;
	struct rte_flow_item pattern[4];
	struct rte_flow_action actions[2];
	int32_t n = 0;

	if (queue >= p->queues || !sn_addr_same_family(&flow->local, &flow->remote))
		return sn_fail(SN_E_INVAL, "port %s: a flow rule needs addresses of one family and one of %u queues",
			       p->name, p->queues);
	enum sn_family family = sn_addr_family(&flow->local);
	if (!(p->flow_rules & 1u << family))
		return sn_fail(SN_E_NOTSUP, "port %s: %s takes no exact flow rules for %s", p->name, p->driver,
			       family == SN_FAMILY_6 ? "IPv6" : "IPv4");
	if (!p->flows && !(p->flows = calloc(1, sizeof *p->flows)))
		return sn_fail(SN_E_NOMEM, "port %s: no memory for flow rules", p->name);
	while (n < SN_FLOW_RULES && p->flows->rule[n])
		n++;
	if (n == SN_FLOW_RULES)
		return sn_fail(SN_E_NOSPC, "port %s has %d flow rules, which is the limit", p->name, SN_FLOW_RULES);
	describe(&r, flow, queue, pattern, actions);
	p->flows->rule[n] = rte_flow_create(p->dev, &ingress, pattern, actions, &error);
	if (!p->flows->rule[n])
		return sn_fail(SN_E_NOTSUP, "port %s refused a flow rule: %s", p->name,
			       error.message ? error.message : "no reason given");
	p->flows->used++;
	return n;
}

enum sn_err sn_port_flow_drop(struct sn_port *p, int32_t rule)
{
	struct rte_flow_error error = {0};

	if (rule < 0 || rule >= SN_FLOW_RULES || !p->flows || !p->flows->rule[rule])
		return sn_fail(SN_E_INVAL, "port %s has no flow rule %d", p->name, rule);
	int rc = rte_flow_destroy(p->dev, p->flows->rule[rule], &error);
	p->flows->rule[rule] = NULL;
	p->flows->used--;
	if (rc)
		return sn_fail(SN_E_INVAL, "port %s: flow rule %d was not removed: %s", p->name, rule,
			       error.message ? error.message : "no reason given");
	return SN_OK;
}

uint32_t sn_port_flow_count(const struct sn_port *p) { return p->flows ? p->flows->used : 0; }

void sn_port_flow_fini(struct sn_port *p)
{
	for (int32_t i = 0; p->flows && i < SN_FLOW_RULES; i++)
		if (p->flows->rule[i])
			sn_port_flow_drop(p, i);
	free(p->flows);
	p->flows = NULL;
}

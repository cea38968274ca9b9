/* SPDX-License-Identifier: Apache-2.0
 *
 * `set` and `check` lines: configuration before the start, and a look at the engine's state.
 */
#ifndef SN_PKT_STATE_H
#define SN_PKT_STATE_H

#include "pkt.h"

static sn_time seconds(const char *w, bool *ok)
{
	char *end;
	double v = strtod(w, &end);
	sn_time unit = !strcmp(end, "ms") ? SN_MSEC : !strcmp(end, "us") ? SN_USEC : SN_SEC;

	*ok = end != w && (!*end || !strcmp(end, "s") || unit != SN_SEC);
	return (sn_time)(v * (double)unit + 0.5);
}

static bool set(struct script *s, const char *key, const char *val)
{
	struct sn_engine_cfg *cfg = &s->p->side[0].e->cfg;
	bool ok;
	sn_time time = seconds(val, &ok);
	uint32_t n = (uint32_t)strtoul(val, NULL, 10);
	const struct {
		const char *name;
		sn_time *at;
	} times[] = {{"rto_min", &cfg->tcp.rto_min},
		     {"delack", &cfg->tcp.delack},
		     {"ack_delay_max", &cfg->tcp.ack_delay_max},
		     {"tlp_min", &cfg->tcp.tlp_min},
		     {"rto_initial", &cfg->tcp.rto_initial},
		     {"rto_max", &cfg->tcp.rto_max},
		     {"time_wait", &cfg->tcp.time_wait},
		     {"patience", &cfg->tcp.patience},
		     {"rtt", &s->rtt}};
	const struct {
		const char *name;
		uint32_t *at;
	} numbers[] = {{"iw", &cfg->tcp.initial_window},
		       {"max_ooo", &cfg->tcp.max_ooo},
		       {"tlp_srtt8", &cfg->tcp.tlp_srtt8},
		       {"retries", &cfg->tcp.retries},
		       {"rcvbuf", &sub(s)->rcvbuf},
		       {"rcv_initial", &cfg->tcp.rcv_initial},
		       {"mss", &s->mss},
		       {"win", &s->win},
		       {"ws", &s->ws}};

	for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
		if (!strcmp(key, times[i].name)) {
			*times[i].at = time;
			return ok;
		}
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (!strcmp(key, numbers[i].name)) {
			*numbers[i].at = n;
			return true;
		}
	if (!strcmp(key, "profile"))
		return sn_tcp_cfg_profile(&cfg->tcp, val);
	if (!strcmp(key, "cc")) {
		s->p->cc = sn_cc_find(val)->name;
		return !strcmp(s->p->cc, val);
	}
	if (!strcmp(key, "ecn"))
		cfg->tcp.ecn = (uint8_t)n;
	else if (!strcmp(key, "sack"))
		s->sack = n;
	else if (!strcmp(key, "ts"))
		s->ts = n;
	else if (!strcmp(key, "wscale"))
		s->ws_on = n;
	else if (!strcmp(key, "no_mss"))
		s->no_mss = n;
	else if (!strcmp(key, "passive"))
		s->passive = n;
	else if (!strcmp(key, "isn"))
		s->p->isn[0] = n;
	else
		return false;
	return true;
}

/* The value of a name in a `check` line; -1: no such name. Times in microseconds. */
static long long value(struct script *s, const char *name)
{
	const struct sn_tcp *t = sub(s)->tcp;
	const struct sn_subflow *f = sub(s);

	for (uint32_t i = 0; i < sn_counter_count(); i++)
		if (!strcmp(name, sn_counter_name(i)))
			return (long long)sn_engine_counter(s->p->side[0].e, i);
	const struct {
		const char *name;
		uint64_t v;
	} owner[] = {{"received", f->received},  {"sent", f->sent},     {"fins", f->fins}, {"closed", f->closed},
		     {"err", (uint64_t)-f->err}, {"timeouts", f->rtos}, {"wrong", f->bad}};
	for (size_t i = 0; i < sizeof owner / sizeof owner[0]; i++)
		if (!strcmp(name, owner[i].name))
			return (long long)owner[i].v;
	if (!t)
		return -1;
	audit(t);
	const struct {
		const char *name;
		uint64_t v;
	} flow[] = {{"cwnd", t->cwnd},
		    {"ssthresh", t->ssthresh},
		    {"in_flight", sn_tcp_in_flight(t)},
		    {"ca", t->ca},
		    {"state", t->state},
		    {"srtt", t->srtt / SN_USEC},
		    {"rttvar", t->rttvar / SN_USEC},
		    {"rto", sn_tcp_rto(t) / SN_USEC},
		    {"retrans", t->retrans},
		    {"reo_mult", t->reo_mult},
		    {"reordered", t->reordered},
		    {"ooo", t->ooo_count},
		    {"window", t->rcv_tuned},
		    {"lost", t->lost_out},
		    {"mss", t->mss}};
	for (size_t i = 0; i < sizeof flow / sizeof flow[0]; i++)
		if (!strcmp(name, flow[i].name))
			return (long long)flow[i].v;
	return -1;
}

static long long constant(const char *w)
{
	static const struct {
		const char *name;
		int v;
	} all[] = {{"open", SN_CA_OPEN},
		   {"recovery", SN_CA_RECOVERY},
		   {"loss", SN_CA_LOSS},
		   {"established", SN_TCP_ESTABLISHED},
		   {"closing", SN_TCP_CLOSING},
		   {"time_wait", SN_TCP_TIME_WAIT},
		   {"close_wait", SN_TCP_CLOSE_WAIT},
		   {"fin_wait_2", SN_TCP_FIN_WAIT_2},
		   {"syn_sent", SN_TCP_SYN_SENT}};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (!strcmp(w, all[i].name))
			return all[i].v;
	return strtoll(w, NULL, 10);
}

static void check(struct script *s, char **w, int n)
{
	if (n != 3) {
		fail(s, "check NAME OP VALUE");
		return;
	}
	long long a = value(s, w[0]), b = constant(w[2]);
	bool ok = !strcmp(w[1], "==")   ? a == b
		  : !strcmp(w[1], "!=") ? a != b
		  : !strcmp(w[1], "<=") ? a <= b
		  : !strcmp(w[1], ">=") ? a >= b
		  : !strcmp(w[1], "<")  ? a < b
		  : !strcmp(w[1], ">")  ? a > b
					: false;
	if (!ok)
		fail(s, "%s is %lld, not %s %s", w[0], a, w[1], w[2]);
}

#endif

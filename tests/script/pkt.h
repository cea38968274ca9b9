/* SPDX-License-Identifier: Apache-2.0
 *
 * A script while it runs: the engine under test, the peer that the script plays, virtual time.
 */
#ifndef SN_PKT_H
#define SN_PKT_H

#include <ctype.h>
#include <stdarg.h>

#include "tcp_pair.h"

enum { CHUNK = 16384, CHUNKS = 512, WORDS = 48, BIG = 66000 };
#define TOLERANCE (40 * SN_USEC) /* the wheel's resolution, and a little */

struct script {
	const char *file;
	int line;
	bool verbose, failed, started;
	struct pair *p;
	struct sn_pool pool; /* what the peer sends; any size */
	int out;
	sn_time t;     /* of the line before */
	uint32_t next; /* first segment in p->seen that no line has claimed */
	/* the peer */
	bool sack, ts, ws_on, passive, no_mss;
	uint32_t ws, mss, win;
	uint32_t ts_base, ts_last;
	sn_time start, rtt;
};

static void fail(struct script *s, const char *fmt, ...)
{
	va_list ap;

	if (s->failed)
		return;
	s->failed = true;
	printf("%s:%d: ", s->file, s->line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static double msec(const struct script *s, sn_time t) { return ((double)t - (double)s->start) / 1e6; }

/* --- buffers of any size ------------------------------------------------------------------------------------------ */

static struct sn_buf *big_alloc(struct sn_pool *pool)
{
	struct sn_buf *b = calloc(1, sizeof *b + BIG);

	b->pool = pool;
	b->base = b->data = (uint8_t *)(b + 1);
	b->room = BIG;
	((struct script *)pool->ctx)->out++;
	return b;
}
static void big_free(struct sn_pool *pool, struct sn_buf *b)
{
	((struct script *)pool->ctx)->out--;
	free(b);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static struct sn_subflow *sub(struct script *s) { return &s->p->side[0].sub; }
static uint32_t rel(const struct script *s, int side, uint32_t seq) { return seq - s->p->isn[side]; }

static void show(const struct script *s, char dir, sn_time at, const struct sn_tcp_seg *g)
{
	int me = dir == '<';

	printf("%10.3f ms %c %s%s%s%s%s%s%s %u:%u ack %u win %u", msec(s, at), dir, g->flags & SN_TH_SYN ? "S" : "",
	       g->flags & SN_TH_FIN ? "F" : "", g->flags & SN_TH_RST ? "R" : "", g->flags & SN_TH_PSH ? "P" : "",
	       g->flags & SN_TH_ACK ? "." : "", g->flags & SN_TH_ECE ? "E" : "", g->flags & SN_TH_CWR ? "W" : "",
	       rel(s, me, g->seq), rel(s, me, g->seq) + g->len, rel(s, !me, g->ack), g->wnd);
	if (g->nsack)
		printf(" sack");
	for (int i = 0; i < g->nsack; i++)
		printf(" %u:%u", rel(s, !me, g->sack[i].left), rel(s, !me, g->sack[i].right));
	if (g->opts & SN_OPT_TS)
		printf(" ecr %d", (int)(g->ts_ecr - (me ? s->ts_base : 0)));
	printf("\n");
}

static const struct seen *pending(struct script *s)
{
	const struct pair *p = s->p;

	while (s->next < p->nseen && p->seen[s->next].from != 0)
		s->next++;
	return s->next < p->nseen ? &p->seen[s->next] : NULL;
}

static void claim(struct script *s)
{
	const struct seen *g = &s->p->seen[s->next++];

	if (s->verbose)
		show(s, '>', g->at, &g->seg);
	if (g->seg.flags & SN_TH_SYN)
		s->ts_base = g->seg.ts_val - (uint32_t)((g->at - s->start) / SN_MSEC);
	s->ts_last = g->seg.ts_val;
}

/* Lets virtual time go to `until`; with `stop`, only to the next segment that the engine sends. */
static void advance(struct script *s, sn_time until, bool stop)
{
	settle(s->p);
	while (!(stop && pending(s)) && step(s->p, until))
		;
	if (!(stop && pending(s)))
		s->p->now = SN_MAX(s->p->now, until);
}

/* Up to a line that is not an expectation: whatever was sent until then must have been expected. */
static void reach(struct script *s, sn_time at)
{
	advance(s, at, false);
	const struct seen *g = pending(s);
	if (g) {
		fail(s, "the engine sent what no line expects:");
		show(s, '>', g->at, &g->seg);
	}
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs time-sequence scripts: one engine with plain TCP against a peer that the script plays. README.md beside it tells
 * the language. `run_pkt FILE...`; `run_pkt -v FILE` prints every segment. Exit status 1 if a script fails.
 */
#include "pkt_segment.h"
#include "pkt_state.h"

static void start(struct script *s)
{
	struct sn_subflow *f = sub(s);

	s->started = true;
	f->chunk_size = CHUNK;
	f->nchunks = CHUNKS;
	f->chunks = calloc(CHUNKS, sizeof *f->chunks);
	for (uint32_t i = 0; i < CHUNKS; i++)
		f->chunks[i] = (struct sn_chunk){.data = s->p->pattern + (uint64_t)i * CHUNK % PERIOD,
						 .len = CHUNK,
						 .dsn = (uint64_t)i * CHUNK,
						 .next = i + 1 < CHUNKS ? &f->chunks[i + 1] : NULL};
	if (!s->passive)
		dial(s->p);
}

static void run_words(struct script *s, char **w, int n);

static void run_text(struct script *s, const char *text)
{
	char line[512], *w[WORDS];
	int n = 0;

	/* '<' and '>' are words where they stand alone, brackets around options elsewhere. */
	snprintf(line, sizeof line, "%s", text);
	char *hash = strchr(line, '#');
	if (hash)
		*hash = 0;
	for (char *at = strtok(line, " \t\r\n,"); at && n < WORDS; at = strtok(NULL, " \t\r\n,")) {
		if (strcmp(at, "<") && strcmp(at, ">") && strcmp(at, "<=") && strcmp(at, ">=")) {
			while (*at == '<')
				at++;
			char *end = at + strlen(at);
			while (end > at && end[-1] == '>')
				*--end = 0;
			if (!*at)
				continue;
		}
		w[n++] = at;
	}
	if (n)
		run_words(s, w, n);
}

static void handshake(struct script *s)
{
	char text[80];
	unsigned us = (unsigned)(s->rtt / SN_USEC);

	if (s->passive) {
		run_text(s, "+0 < S 0:0");
		run_text(s, "+0 > S. 0:0 ack 1");
		snprintf(text, sizeof text, "+%uus < . 1:1 ack 1", us);
		run_text(s, text);
		return;
	}
	run_text(s, "+0 > S 0:0");
	snprintf(text, sizeof text, "+%uus < S. 0:0 ack 1", us);
	run_text(s, text);
	run_text(s, "+0 > . 1:1 ack 1");
}

static bool act(struct script *s, char **w, int n)
{
	struct sn_subflow *f = sub(s);
	sn_time now = s->p->now;
	const char *arg = n > 1 ? w[1] : "";

	if (!strcmp(w[0], "write")) {
		f->offered += strtoul(arg, NULL, 10);
		if (f->offered > CHUNK * CHUNKS)
			return false;
		pump(f);
	} else if (!strcmp(w[0], "close")) {
		if (f->tcp)
			ops->fin(f->tcp, now);
	} else if (!strcmp(w[0], "reset")) {
		if (f->tcp)
			ops->reset(f->tcp, now);
	} else if (!strcmp(w[0], "detach")) {
		if (f->tcp)
			ops->detach(f->tcp, now);
		f->tcp = NULL;
	} else if (!strcmp(w[0], "read")) {
		f->hold = !strcmp(arg, "off");
		if (!f->hold)
			f->held -= SN_MIN(f->held, isdigit((unsigned char)*arg) ? strtoul(arg, NULL, 10) : UINT64_MAX);
		if (isdigit((unsigned char)*arg))
			f->hold = true;
		if (f->tcp)
			ops->credit(f->tcp, now);
	} else if (!strcmp(w[0], "check")) {
		check(s, w + 1, n - 1);
	} else if (strcmp(w[0], "quiet") != 0) {
		return false;
	}
	settle(s->p);
	return true;
}

static void run_words(struct script *s, char **w, int n)
{
	bool ok = true;

	if (!strcmp(w[0], "set")) {
		if (n != 3 || s->started || !set(s, w[1], w[2]))
			fail(s, "bad setting");
		return;
	}
	if (!s->started)
		start(s);
	if (!strcmp(w[0], "handshake")) {
		handshake(s);
		return;
	}
	bool any = !strcmp(w[0], "+*");
	sn_time at = s->t + (any || *w[0] != '+' ? 100 * SN_SEC : seconds(w[0] + 1, &ok));
	struct want want;
	if (*w[0] != '+' || !ok || n < 2) {
		fail(s, "a line begins with +SECONDS or +*");
	} else if (!strcmp(w[1], ">")) {
		if (!parse_segment(s, w + 2, n - 2, 0, &want)) {
			fail(s, "not a segment");
			return;
		}
		advance(s, at + TOLERANCE, true);
		const struct seen *g = pending(s);
		if (g && !any && (g->at + TOLERANCE < at || g->at > at + TOLERANCE))
			fail(s, "sent at %.3f ms, not at %.3f ms", msec(s, g->at), msec(s, at));
		s->t = g ? g->at : at; /* lateness of a timer does not add up */
		expect(s, &want);
		return;
	} else if (!any) {
		reach(s, at);
		s->t = at;
		if (strcmp(w[1], "<") != 0)
			ok = act(s, w + 1, n - 1);
		else if ((ok = parse_segment(s, w + 2, n - 2, 1, &want)))
			send_segment(s, &want);
	} else {
		ok = false;
	}
	if (!ok)
		fail(s, "not understood");
}

static bool run_file(const char *file, bool verbose)
{
	struct script s = {
		.file = file, .verbose = verbose, .sack = true, .ws_on = true, .win = 60000, .rtt = 10 * SN_MSEC};
	char text[512];
	FILE *f = fopen(file, "r");

	if (!f) {
		perror(file);
		return false;
	}
	s.pool = (struct sn_pool){.alloc = big_alloc, .free = big_free, .ctx = &s};
	s.p = pair_up();
	s.p->delay = 0;
	s.p->isn[0] = 1000;
	s.p->side[1].silent = s.p->side[1].sub.refuse = true;
	s.start = s.t = s.p->now;
	while (!s.failed && fgets(text, sizeof text, f)) {
		s.line++;
		if (!s.started && !s.mss && strncmp(text, "set", 3) && *text != '#' && *text != '\n')
			s.mss = s.ts ? 1012 : 1000;
		run_text(&s, text);
	}
	fclose(f);
	if (!s.failed)
		reach(&s, s.t + TOLERANCE);
	if (sub(&s)->bad)
		fail(&s, "the application received wrong bytes");
	s.p->nseen = SEGS_SEEN; /* what the end sends is nobody's business */
	if (sub(&s)->tcp)
		audit(sub(&s)->tcp);
	pair_down(s.p);
	if (s.out)
		fail(&s, "%d buffers were not given back", s.out);
	return !s.failed && !sn_test_state.failures;
}

int main(int argc, char **argv)
{
	bool verbose = false;
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-v")) {
			verbose = true;
			continue;
		}
		sn_test_state.failures = 0;
		bool ok = false;
		if (!setjmp(sn_test_state.stop))
			ok = run_file(argv[i], verbose);
		failed += !ok;
		printf("%s %s\n", ok ? "ok  " : "FAIL", argv[i]);
	}
	return failed != 0;
}

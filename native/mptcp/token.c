/* SPDX-License-Identifier: Apache-2.0
 *
 * Our tokens: hash token -> connection. Keys are drawn until token % workers names this worker, so that any worker knows
 * whose a join is without a shared table.
 */
#include "mptcp/conn.h"

static struct sn_conn **bucket(const struct sn_engine *e, uint32_t token)
{
	/* A token is a hash already; its low bits are biased by the choice of keys, so take upper ones. */
	return &e->mptcp.bucket[(token >> 8) & e->mptcp.bucket_mask];
}

struct sn_conn *sn_token_find(const struct sn_engine *e, uint32_t token)
{
	for (struct sn_conn *c = *bucket(e, token); c; c = c->token_next)
		if (c->token == token)
			return c;
	return NULL;
}

static void insert(struct sn_conn *c, uint64_t key, uint32_t token, uint64_t idsn)
{
	c->local_key = key;
	c->token = token;
	c->idsn = idsn;
	c->token_next = *bucket(c->e, token);
	*bucket(c->e, token) = c;
	c->hashed = true;
}

bool sn_token_take(struct sn_conn *c, uint64_t key)
{
	uint64_t idsn;
	uint32_t token;

	sn_mp_key_digest(key, &token, &idsn);
	if (sn_token_find(c->e, token)) {
		c->e->counters.MPFallbackTokenInit++;
		return false;
	}
	insert(c, key, token, idsn);
	return true;
}

bool sn_token_new(struct sn_conn *c)
{
	struct sn_engine *e = c->e;
	/* A draw fits with probability 1 / workers. */
	for (uint32_t tries = 64 * e->cfg.workers; tries; tries--) {
		uint64_t key, idsn;
		uint32_t token;
		sn_engine_random(e, &key, sizeof key);
		if (!key)
			continue;
		sn_mp_key_digest(key, &token, &idsn);
		if (token % e->cfg.workers != e->cfg.worker || sn_token_find(e, token))
			continue;
		insert(c, key, token, idsn);
		return true;
	}
	e->counters.MPFallbackTokenInit++;
	return false;
}

void sn_token_remove(struct sn_conn *c)
{
	if (!c->hashed)
		return;
	struct sn_conn **p = bucket(c->e, c->token);
	while (*p != c)
		p = &(*p)->token_next;
	*p = c->token_next;
	c->hashed = false;
}

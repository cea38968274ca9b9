/* SPDX-License-Identifier: Apache-2.0
 *
 * What a port does with what the engine hands it, for the pairs of engines: whole frames, units cut.
 */
#ifndef SN_TEST_PAIR_FRAME_H
#define SN_TEST_PAIR_FRAME_H

#include "wire/split.h"

struct pair_frames {
	const struct sn_tx *tx;
	struct sn_split cut;
	bool done;
};

static inline void pair_frames_begin(struct pair_frames *f, const struct sn_tx *tx)
{
	f->tx = tx;
	f->done = false;
	if (tx->segs)
		sn_split_begin(&f->cut, tx);
}

/* The next frame in a buffer of `pool`; NULL: there was none more, and the headers are freed. */
static inline struct sn_buf *pair_frames_next(struct pair_frames *f, struct sn_pool *pool)
{
	struct sn_buf *hdr = f->tx->hdr, *b = f->done ? NULL : sn_buf_alloc(pool);
	struct sn_tx one = *f->tx;

	if (!b) {
		sn_buf_free(hdr);
		return NULL;
	}
	b->len = hdr->len;
	if (f->tx->segs)
		sn_split_next(&f->cut, b->data, &one);
	else
		memcpy(b->data, hdr->data, hdr->len);
	f->done = !f->tx->segs || sn_split_done(&f->cut);
	for (uint32_t i = 0; i < one.nref; i++) {
		memcpy(b->data + b->len, one.ref[i].data, one.ref[i].len);
		b->len += one.ref[i].len;
	}
	return b;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/netlab.h"

static void on_link(void *ctx, uint32_t link, uint32_t side, struct sn_buf *b, sn_time now)
{
	struct sn_netlab *lab = ctx;

	sn_netlab_dir_push(&lab->dir[2 * link + side], b, b->len, now);
}

void sn_netlab_box_init(struct sn_netlab *lab, uint32_t link, uint64_t seed)
{
	struct sn_netlab_box *box = &lab->box[link];

	sn_sim_middle_init(&box->middle, &box->what, seed, link);
	box->middle.room = lab->frame;
	box->middle.csum = true;
	box->middle.changes = &box->changes;
	box->middle.out = on_link;
	box->middle.ctx = lab;
}

int sn_netlab_set_box(struct sn_netlab *lab, uint32_t link, const struct sn_sim_box *what)
{
	/* The NAT knows no other addresses than the simulator's. */
	if (link >= lab->links || what->flags & SN_SIM_BOX_NAT)
		return SN_E_INVAL;
	struct sn_netlab_box *box = &lab->box[link];
	sn_sim_middle_drop(&box->middle);
	box->middle.rewrites = 0;
	box->what = *what;
	return 0;
}

void sn_netlab_box_send(struct sn_netlab *lab, uint32_t dir, struct sn_buf *b, sn_time now)
{
	sn_sim_middle_send(&lab->box[dir / 2].middle, dir % 2, b, now);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * What a driver is given for a unit (sn_buf.h): frames that were cut here, or one packet with all that a port which cuts
 * by itself asks for. DPDK's own software segmentation plays that port: both must come to the same frames.
 */
#include <stdlib.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_gso.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "port/mbuf.h"
#include "port/port.h"
#include "sn_test.h"
#include "wire/tcp.h"

enum { HDR = 14 + 20 + 32, SIZE = 1448, FRAMES = 64, LEN = 44 * SIZE + 100, PIECES = 3 };

static struct sn_bufs bufs;
static uint16_t dev;
static uint8_t payload[LEN];
static struct sn_chunk chunk[PIECES];

struct frame {
	uint32_t len;
	uint8_t bytes[HDR + SIZE];
};

/* The device is a ring: what is sent is received. */
static void set_up(void)
{
	char name[32];
	struct rte_eth_conf conf;

	if (bufs.mp)
		return;
	snprintf(name, sizeof name, "sennit-test-%d", (int)getpid());
	char *argv[] = {
		"test", "--no-huge",      "-m", "64", "--no-pci", "-l", "0", "--vdev=net_ring0", "--file-prefix",
		name,   "--no-telemetry", NULL};
	REQUIRE(sn_port_eal_init(11, argv) == SN_OK);
	REQUIRE(rte_eth_dev_get_port_by_name("net_ring0", &dev) == 0);
	REQUIRE(sn_bufs_create(&bufs, "test", 0, 1024, 1514, 512) == SN_OK);
	memset(&conf, 0, sizeof conf);
	REQUIRE(rte_eth_dev_configure(dev, 1, 1, &conf) == 0);
	REQUIRE(rte_eth_rx_queue_setup(dev, 0, 128, 0, NULL, bufs.mp) == 0);
	REQUIRE(rte_eth_tx_queue_setup(dev, 0, 128, 0, NULL) == 0);
	REQUIRE(rte_eth_dev_start(dev) == 0);
	for (uint32_t i = 0; i < LEN; i++)
		payload[i] = (uint8_t)(i * 31 + (i >> 8));
	for (uint32_t i = 0; i < PIECES; i++)
		chunk[i] = (struct sn_chunk){.data = payload, .len = LEN};
}

/* A unit of LEN bytes in three pieces that end where no segment ends. */
static struct sn_tx unit_of(bool csum)
{
	static const uint32_t at[PIECES + 1] = {0, 5001, 40000, LEN};
	struct sn_tx tx = {.hdr = sn_buf_alloc(&bufs.pool), .nref = PIECES, .l3_off = 14, .l4_off = 34};

	REQUIRE(tx.hdr);
	uint8_t *p = tx.hdr->data = tx.hdr->base + SN_HEADROOM - 54;
	memset(p, 0, HDR);
	tx.hdr->len = HDR;
	memcpy(p, "\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0", 14);
	sn_put32(p + 14, 0x45000000u | (uint16_t)(HDR - 14 + LEN));
	sn_put32(p + 18, 0xfff04000u); /* the identification passes its end */
	sn_put32(p + 22, 0x40060000u);
	sn_put32(p + 26, 0x0a000001u);
	sn_put32(p + 30, 0x0a000002u);
	sn_tcp_put_header(p + 34, 40000, 80, 0xffff8000u, 77, 12, SN_TH_ACK | SN_TH_PSH, 1000);
	sn_opt_emit_ts(p + 54, 123456, 654321);
	for (uint32_t i = 0; i < PIECES; i++) {
		tx.ref[i].data = payload + at[i];
		tx.ref[i].len = at[i + 1] - at[i];
		tx.ref[i].chunk = &chunk[i];
	}
	tx.payload_len = LEN;
	tx.seg_size = SIZE;
	tx.segs = (LEN + SIZE - 1) / SIZE;
	tx.flags = csum ? 0 : SN_TX_CSUM_DONE;
	return tx;
}

static struct sn_port port_of(bool references, bool csum, bool tso)
{
	struct sn_port p = {
		.dev = dev, .queues = 1, .copies = references, .multi_seg = true, .tx_csum = csum, .tso = tso};
	p.queue[0].pool = &bufs;
	return p;
}

static void copy_out(struct frame *f, const struct rte_mbuf *m)
{
	f->len = m->pkt_len;
	REQUIRE(f->len <= sizeof f->bytes);
	const void *at = rte_pktmbuf_read(m, 0, f->len, f->bytes);
	if (at != f->bytes)
		memcpy(f->bytes, at, f->len);
}

/* The checksums that a port fills in. */
static void fill_in(struct frame *f)
{
	struct rte_ipv4_hdr *ip = (void *)(f->bytes + 14);
	struct rte_tcp_hdr *tcp = (void *)(f->bytes + 34);

	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	tcp->cksum = 0;
	tcp->cksum = rte_ipv4_udptcp_cksum(ip, tcp);
}

static uint32_t send_unit(struct sn_port *p, bool csum, struct rte_mbuf **m)
{
	struct sn_tx tx = unit_of(csum);

	sn_port_tx(p, 0, &tx, 1, 0);
	CHECK_EQ(p->queue[0].tx_full + p->queue[0].tx_nobuf, 0);
	return rte_eth_rx_burst(dev, 0, m, FRAMES);
}

static void all_back(void)
{
	CHECK_EQ(sn_bufs_free_count(&bufs), bufs.count);
	CHECK_EQ(rte_mempool_avail_count(bufs.refs), 512);
	for (uint32_t i = 0; i < PIECES; i++)
		CHECK_EQ(chunk[i].refs, 0);
}

/* What rte_gso makes of the packet for a port that cuts. */
static uint32_t oracle(struct frame *f)
{
	struct sn_port p = port_of(false, true, true);
	struct rte_mbuf *m[FRAMES], *seg[FRAMES];
	struct rte_gso_ctx ctx = {.direct_pool = bufs.mp,
				  .indirect_pool = bufs.mp,
				  .gso_size = HDR + SIZE,
				  .gso_types = RTE_ETH_TX_OFFLOAD_TCP_TSO};

	REQUIRE(send_unit(&p, true, m) == 1);
	CHECK_EQ(m[0]->ol_flags,
		 RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG);
	CHECK_EQ(m[0]->l2_len, 14);
	CHECK_EQ(m[0]->l3_len, 20);
	CHECK_EQ(m[0]->l4_len, 32);
	CHECK_EQ(m[0]->tso_segsz, SIZE);
	CHECK_EQ(m[0]->pkt_len, HDR + LEN);
	int n = rte_gso_segment(m[0], &ctx, seg, FRAMES);
	REQUIRE(n > 1);
	for (int i = 0; i < n; i++) {
		copy_out(&f[i], seg[i]);
		fill_in(&f[i]);
		rte_pktmbuf_free(seg[i]);
	}
	rte_pktmbuf_free(m[0]);
	return (uint32_t)n;
}

static void compare(bool references, bool csum)
{
	static struct frame want[FRAMES], got;
	struct sn_port p = port_of(references, csum, false);
	struct rte_mbuf *m[FRAMES];
	uint32_t n = oracle(want);

	REQUIRE(send_unit(&p, csum, m) == n);
	CHECK_EQ(n, 45);
	for (uint32_t i = 0; i < n; i++) {
		CHECK_EQ(m[i]->ol_flags,
			 csum ? RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM : 0);
		CHECK(!m[i]->next == !references);
		copy_out(&got, m[i]);
		if (csum)
			fill_in(&got);
		CHECK_EQ(got.len, want[i].len);
		CHECK(got.len == want[i].len && memcmp(got.bytes, want[i].bytes, got.len) == 0);
		rte_pktmbuf_free(m[i]);
	}
	all_back();
}

SN_TEST(cut_in_software_with_references_it_is_what_a_cutting_port_sends)
{
	set_up();
	compare(true, false);
}

SN_TEST(cut_in_software_with_copies_it_is_what_a_cutting_port_sends)
{
	set_up();
	compare(false, false);
}

SN_TEST(cut_in_software_for_a_port_that_fills_in_checksums)
{
	set_up();
	compare(false, true);
	compare(true, true);
}

SN_TEST(a_unit_longer_than_a_burst_arrives_whole)
{
	struct sn_port p;
	struct rte_mbuf *m[128];
	struct frame f;
	uint32_t seq = 0xffff8000u, n;

	set_up();
	p = port_of(true, false, false);
	struct sn_tx tx = unit_of(false);
	tx.seg_size = 600;
	tx.segs = (LEN + 599) / 600;
	sn_port_tx(&p, 0, &tx, 1, 0);
	n = rte_eth_rx_burst(dev, 0, m, 64);
	n += rte_eth_rx_burst(dev, 0, m + n, 64);
	CHECK_EQ(n, (LEN + 599) / 600);
	for (uint32_t i = 0; i < n; i++) {
		copy_out(&f, m[i]);
		CHECK_EQ(sn_get32(f.bytes + 38), seq);
		CHECK_EQ(f.bytes[34 + 13] & SN_TH_PSH, i + 1 == n ? SN_TH_PSH : 0);
		seq += f.len - HDR;
		rte_pktmbuf_free(m[i]);
	}
	CHECK_EQ(seq, 0xffff8000u + LEN);
	all_back();
}

SN_TEST(without_buffers_frames_are_lost_and_counted_and_nothing_is_kept)
{
	struct sn_port p;
	struct rte_mbuf *m[FRAMES];
	struct sn_buf *kept = NULL, *b;

	set_up();
	for (int how = 0; how < 3; how++) { /* references, copies, one packet */
		p = port_of(how == 0, how == 2, how == 2);
		struct sn_tx tx = unit_of(how == 2);
		while (sn_bufs_free_count(&bufs) > 10) {
			b = sn_buf_alloc(&bufs.pool);
			b->next = kept;
			kept = b;
		}
		sn_port_tx(&p, 0, &tx, 1, 0);
		uint32_t n = rte_eth_rx_burst(dev, 0, m, FRAMES);
		CHECK_EQ(n, how == 2 ? 0 : 11);
		CHECK_EQ(p.queue[0].tx_nobuf, how == 2 ? 1 : 45 - 11);
		while (n)
			rte_pktmbuf_free(m[--n]);
		sn_buf_free_chain(kept);
		kept = NULL;
		all_back();
	}
}

SN_TEST_MAIN()

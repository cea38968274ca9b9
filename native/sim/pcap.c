/* SPDX-License-Identifier: Apache-2.0
 *
 * pcapng blocks, all in host order: type, length, body padded to four bytes, length again.
 */
#include "sim/pcap.h"

enum { SECTION = 0x0a0d0d0a, INTERFACE = 1, PACKET = 6, MAGIC = 0x1a2b3c4d, ETHERNET = 1, SNAPLEN = 262144 };
enum { OPT_END = 0, OPT_NAME = 2, OPT_RESOLUTION = 9, OPT_FLAGS = 2, NANOSECONDS = 9, INBOUND = 1, OUTBOUND = 2 };

struct packet {
	uint32_t type, length, interface, at_high, at_low, captured, original;
};

static uint32_t padded(uint32_t n) { return (n + 3) & ~3u; }

FILE *sn_sim_pcap_open(const char *path, const char *prefix, uint32_t interfaces)
{
	const struct {
		uint32_t type, length, magic;
		uint16_t major, minor;
		int32_t section[2];
		uint32_t again;
	} head = {SECTION, 28, MAGIC, 1, 0, {-1, -1}, 28};
	FILE *f = fopen(path, "wb");
	bool ok = f && fwrite(&head, sizeof head, 1, f) == 1;

	for (uint32_t i = 0; ok && i < interfaces; i++) {
		struct {
			uint32_t type, length;
			uint16_t link, reserved;
			uint32_t snaplen;
			uint16_t name_kind, name_len;
			char name[16];
			uint16_t res_kind, res_len;
			uint8_t res[4];
			uint16_t end_kind, end_len;
			uint32_t again;
		} block = {.type = INTERFACE,
			   .length = sizeof block,
			   .link = ETHERNET,
			   .snaplen = SNAPLEN,
			   .name_kind = OPT_NAME,
			   .name_len = sizeof block.name,
			   .res_kind = OPT_RESOLUTION,
			   .res_len = 1,
			   .res = {NANOSECONDS},
			   .end_kind = OPT_END,
			   .again = sizeof block};
		snprintf(block.name, sizeof block.name, "%.8s%u", prefix, i % 100);
		ok = fwrite(&block, sizeof block, 1, f) == 1;
	}
	if (!ok && f) {
		fclose(f);
		f = NULL;
	}
	return f;
}

void sn_sim_pcap_write(FILE *f, sn_time at, uint32_t interface, bool sent, const uint8_t *frame, uint32_t len)
{
	const struct {
		uint16_t kind, len;
		uint32_t flags;
		uint32_t end;
		uint32_t again;
	} tail = {OPT_FLAGS, 4, sent ? OUTBOUND : INBOUND, OPT_END, (uint32_t)sizeof(struct packet) + padded(len) + 16};
	const struct packet p = {PACKET, tail.again, interface, (uint32_t)(at >> 32), (uint32_t)at, len, len};
	const uint8_t zero[4] = {0};

	/* A full disk shows in the file; the run itself goes on. */
	(void)!(fwrite(&p, sizeof p, 1, f) == 1 && fwrite(frame, 1, len, f) == len &&
		fwrite(zero, 1, padded(len) - len, f) == padded(len) - len && fwrite(&tail, sizeof tail, 1, f) == 1);
}

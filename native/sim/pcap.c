/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/pcap.h"

/* File header: magic for nanosecond stamps in host order, version 2.4, zone 0, accuracy 0, snap length, link type. */
struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snaplen, linktype;
};
struct record_header {
	uint32_t sec, nsec, captured, length;
};

FILE *sn_sim_pcap_open(const char *path)
{
	const struct file_header h = {0xa1b23c4d, 2, 4, 0, 0, 262144, 1};
	FILE *f = fopen(path, "wb");
	if (f && fwrite(&h, sizeof h, 1, f) != 1) {
		fclose(f);
		f = NULL;
	}
	return f;
}

void sn_sim_pcap_write(FILE *f, sn_time at, const uint8_t *frame, uint32_t len)
{
	const struct record_header h = {(uint32_t)(at / SN_SEC), (uint32_t)(at % SN_SEC), len, len};
	/* A full disk shows in the file; the run itself goes on. */
	if (fwrite(&h, sizeof h, 1, f) == 1)
		(void)!fwrite(frame, 1, len, f);
}

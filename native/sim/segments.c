/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/segments.h"

#include "sim/frame.h"

FILE *sn_sim_segments_open(const char *path)
{
	FILE *f = fopen(path, "w");

	if (f)
		fputs("time_ns,host,sent,path,sport,dport,flags,seq,ack,window,payload,sack\n", f);
	return f;
}

void sn_sim_segments_row(FILE *f, sn_time at, uint32_t side, bool sent, uint32_t path, const struct sn_buf *b)
{
	struct sn_sim_frame s;
	uint32_t pos = 0;
	const uint8_t *o;

	if (!sn_sim_frame_parse(&s, b))
		return;
	fprintf(f, "%llu,%c,%u,%u,%u,%u,%u,%u,%u,%u,%u,", (unsigned long long)at, 'a' + (int)side, sent, path,
		sn_get16(s.tcp), sn_get16(s.tcp + 2), s.tcp[13], sn_get32(s.tcp + 4), sn_get32(s.tcp + 8),
		sn_get16(s.tcp + 14), s.payload);
	while ((o = sn_sim_frame_option(&s, &pos)) != NULL)
		for (uint32_t i = 2; o[0] == SN_SIM_KIND_SACK && i + 8 <= o[1]; i += 8)
			fprintf(f, "%s%u-%u", i > 2 ? " " : "", sn_get32(o + i), sn_get32(o + i + 4));
	fputc('\n', f);
}

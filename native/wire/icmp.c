/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/icmp.h"

#include "wire/checksum.h"

bool sn_icmp_parse(struct sn_icmp *m, const uint8_t *p, uint32_t len)
{
	if (len < SN_ICMP_HDR || sn_csum_fold(sn_csum_partial(p, len, 0)) != 0xffff)
		return false;
	m->type = p[0];
	m->code = p[1];
	m->id = m->seq = 0;
	if (m->type == SN_ICMP_ECHO || m->type == SN_ICMP_ECHO_REPLY) {
		m->id = sn_get16(p + 4);
		m->seq = sn_get16(p + 6);
	}
	return true;
}

void sn_icmp_emit(uint8_t *p, const struct sn_icmp *m, uint32_t data_len)
{
	p[0] = m->type;
	p[1] = m->code;
	sn_put16(p + 2, 0);
	sn_put16(p + 4, m->id);
	sn_put16(p + 6, m->seq);
	sn_put16(p + 2, sn_csum_finish(sn_csum_partial(p, SN_ICMP_HDR + data_len, 0)));
}

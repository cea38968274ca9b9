/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes what one host sends and receives as a capture file: classic pcap with nanoseconds, Ethernet.
 */
#ifndef SN_SIM_PCAP_H
#define SN_SIM_PCAP_H

#include <stdio.h>

#include "sn_base.h"

/* NULL if the file cannot be made. */
FILE *sn_sim_pcap_open(const char *path);
void sn_sim_pcap_write(FILE *f, sn_time at, const uint8_t *frame, uint32_t len);

#endif

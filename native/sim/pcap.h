/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes pcapng: one interface per path, time stamps in nanoseconds, the direction of every frame.
 */
#ifndef SN_SIM_PCAP_H
#define SN_SIM_PCAP_H

#include <stdio.h>

#include "sn_base.h"

/* NULL: the file cannot be made. Interfaces are named PREFIX0, PREFIX1, ... */
FILE *sn_sim_pcap_open(const char *path, const char *prefix, uint32_t interfaces);
void sn_sim_pcap_write(FILE *f, sn_time at, uint32_t interface, bool sent, const uint8_t *frame, uint32_t len);

#endif

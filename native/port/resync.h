/* SPDX-License-Identifier: Apache-2.0
 *
 * After the death of a worker: bringing a packet socket's driver and the kernel back to the same place in their rings.
 *
 * DPDK's driver keeps its position in a ring in shared memory but stores it once per burst, after the ring's slots. A
 * worker that is killed within a burst leaves a position behind the kernel's (or, with frames that the kernel had not
 * taken yet, ahead of it): the next process would wait at a slot that the kernel reaches one lap later. The driver has no
 * call to set its position, but every frame moves it by one. So we look at the slots ourselves (packet(7), TPACKET_V2):
 *
 *   send     at once: frames of the dead process are withdrawn; then probe frames are sent, one at a time, and withdrawn if
 *            the kernel does not take them, until it takes one. At most one probe leaves the machine, addressed to ourselves.
 *   receive  when the kernel shows frames that the driver does not see: the slots before the first of them are filled
 *            with empty frames, which the driver reads past.
 *
 * Nothing here runs unless a worker died.
 */
#ifndef SN_PORT_RESYNC_H
#define SN_PORT_RESYNC_H

#include "port/port.h"

/* Finds the rings of a queue's packet socket in our address space; leaves q->ring NULL if they are not as expected. */
void sn_resync_find(struct sn_port_queue *q, uint32_t frame_size, uint32_t frames);
/* The new process of a worker: aligns the send ring, prepares the check of the receive ring. */
void sn_resync_begin(struct sn_port *p, uint32_t queue);
/* True if the kernel has put frames there. */
bool sn_resync_frames(const struct sn_port_queue *q);
/* The driver received nothing after sn_resync_frames() had said that there is something: align. */
void sn_resync_rx(struct sn_port *p, uint32_t queue);

#endif

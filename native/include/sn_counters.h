/* SPDX-License-Identifier: Apache-2.0
 *
 * Every counter of a worker, declared once. The struct, the names, the cffi view, `sennit status` and the TUI derive from it.
 * X(name, help): name is the JSON key; the MPTcpExt* equivalents follow the kernel's MIB where one exists.
 */
#ifndef SN_COUNTERS_H
#define SN_COUNTERS_H

#include "sn_base.h"

/* One line more must not touch all the others. */
/* clang-format off */
#define SN_COUNTERS(X)                                                            \
	X(rx_packets, "frames received from ports")                               \
	X(rx_bytes, "bytes of frames received")                                   \
	X(rx_bursts, "receive bursts that held at least one frame")               \
	X(tx_packets, "frames handed to ports")                                   \
	X(tx_bytes, "bytes of frames handed to ports")                            \
	X(tx_units, "units of several segments handed to ports, to be cut there") \
	X(tx_full, "frames dropped because a port's queue was full")              \
	X(tx_nobuf, "frames not built because the pool was empty")                \
	X(tx_no_route, "frames not sent: no way to the address from this port")   \
	X(forward_table_full, "joins not remembered: all entries are in use")     \
	X(misdirected, "frames of another worker's connections that landed here") \
	X(forward_full, "misdirected frames dropped: forward ring full")          \
	X(rx_drop_eth, "not for us, or an unknown EtherType")                     \
	X(rx_drop_vlan, "frames of a VLAN that is not the port's, or of none")    \
	X(rx_drop_arp, "malformed ARP")                                           \
	X(rx_drop_ip, "malformed IP header, bad checksum, not our address")       \
	X(rx_drop_frag, "malformed IP fragments, and those of packets given up")  \
	X(frag_rx, "IP fragments received")                                       \
	X(frag_done, "packets put together from fragments")                       \
	X(frag_forwarded, "fragments handed to the worker that joins them")       \
	X(frag_dup, "fragments received before")                                  \
	X(frag_conflict, "packets given up: fragments overlap or contradict")     \
	X(frag_too_big, "packets given up: too long or too many fragments")       \
	X(frag_timeout, "packets given up: fragments missing")                    \
	X(frag_evicted, "incomplete packets that made room for others")           \
	X(frag_nobuf, "fragments dropped: packet buffers short")                  \
	X(rx_drop_proto, "IP protocol nobody handles")                            \
	X(rx_drop_icmp, "malformed ICMP")                                         \
	X(rx_drop_tcp, "malformed TCP header or options, bad checksum")           \
	X(rx_drop_nd, "malformed or untrustworthy IPv6 neighbour discovery")       \
	X(arp_rx, "ARP packets received")                                         \
	X(arp_tx, "ARP packets sent")                                             \
	X(icmp_echo, "ICMP echo requests answered")                               \
	X(icmp_limited, "ICMP and ICMPv6 echo requests not answered: rate")      \
	X(icmp_too_big, "echo requests not answered: the reply exceeds the MTU")  \
	X(nd_rx, "IPv6 neighbour solicitations and advertisements received")      \
	X(nd_tx, "IPv6 neighbour solicitations and advertisements sent")          \
	X(icmp6_echo, "ICMPv6 echo requests answered")                            \
	X(icmp_error_rx, "ICMP and ICMPv6 errors received")                       \
	X(icmp_error_limited, "ICMP errors not looked at: rate")                  \
	X(icmp_error_no_flow, "ICMP errors about no flow of ours")                \
	X(icmp_error_forged, "ICMP errors not believed: nothing in flight is quoted (RFC 5927)") \
	X(icmp_error_noted, "ICMP errors noted as the reason if the flow times out") \
	X(icmp_error_ended, "connections and joins that an ICMP error kept from opening") \
	X(pmtu_lowered, "path MTU lowered by Packet Too Big")                     \
	X(pmtu_black_hole, "path MTU lowered because full segments vanished")     \
	X(pmtu_probes, "segments sent to find out whether a path carries more")   \
	X(pmtu_probes_lost, "of them those that did not arrive")                  \
	X(pmtu_raised, "path MTU raised after a probe arrived")                   \
	X(neigh_pending_drop, "packets dropped while a neighbour was unresolved") \
	X(neigh_news_lost, "neighbour reports not made: rate, or nobody took them") \
	X(addr_conflict, "packets of others that claim an address of ours")       \
	X(addr_defended, "announcements in defence of an address")                \
	X(tcp_rx_segments, "TCP segments received")                               \
	X(tcp_tx_segments, "TCP segments sent")                                   \
	X(tcp_retrans, "TCP segments sent again")                                 \
	X(tcp_fast_retrans, "retransmissions by fast recovery")                   \
	X(tcp_rto, "retransmission timeouts")                                     \
	X(tcp_tlp, "tail loss probes sent (RFC 8985)")                            \
	X(tcp_tlp_mended, "tail probes that mended a loss")                       \
	X(tcp_undo, "reductions of the window that proved spurious")              \
	X(tcp_dup_acks, "duplicate ACKs received")                                \
	X(tcp_ooo, "segments received out of order")                              \
	X(tcp_ooo_drop, "out-of-order segments dropped: queue limit")             \
	X(tcp_dup_data, "segments with only old data")                            \
	X(tcp_paws, "segments dropped by PAWS")                                   \
	X(tcp_out_of_window, "segments outside the window")                       \
	X(tcp_challenge_acks, "challenge ACKs sent (RFC 5961)")                   \
	X(tcp_ecn, "connections with ECN negotiated")                             \
	X(tcp_ce_rx, "segments received with Congestion Experienced")             \
	X(tcp_ecn_reduced, "window reductions after an ECN echo")                 \
	X(tcp_rst_rx, "RST accepted")                                             \
	X(tcp_rst_tx, "RST sent")                                                 \
	X(tcp_rst_limited, "segments without a connection not answered: RST rate")\
	X(tcp_no_flow, "segments without a connection")                           \
	X(tcp_syn_drop, "SYN dropped: table or backlog full")                     \
	X(tcp_syn_expired, "half-open connections given up: no third ACK came")   \
	X(tcp_syn_evicted, "old half-open connections that made room for a SYN")  \
	X(tcp_fastopen_asked, "SYNs sent that ask for a Fast Open cookie")          \
	X(tcp_fastopen_sent, "SYNs sent with data (RFC 7413)")                    \
	X(tcp_fastopen_acked, "SYNs sent with data that were acknowledged with it") \
	X(tcp_fastopen_given, "Fast Open cookies given to peers")                 \
	X(tcp_fastopen_taken, "SYNs received with data that was taken")           \
	X(tcp_fastopen_refused, "SYNs received with a cookie that is not ours")   \
	X(tcp_fastopen_muted, "servers to which SYNs with data get lost")         \
	X(ListenOverflows, "SYN or third ACK dropped: nobody accepts")            \
	X(SyncookiesSent, "SYNs answered by a cookie (RFC 4987)")                 \
	X(SyncookiesRecv, "cookies that came back: connections made of them")     \
	X(SyncookiesFailed, "third ACKs with a bad or old cookie")                \
	X(tcp_cookie_strange, "cookies not sent: next hop unknown, limited rate") \
	X(TCPKeepAlive, "keep-alive probes sent (RFC 1122 4.2.3.6)")              \
	X(tcp_keep_timeout, "subflows ended: keep-alive was not answered")        \
	X(tcp_user_timeout, "connections ended: the application's user timeout")  \
	X(tcp_orphans_reset, "closing flows without an owner reset: too many")    \
	X(tcp_probes, "zero-window probes sent")                                  \
	X(tcp_active_opens, "connections and joins we opened")                    \
	X(tcp_passive_opens, "connections and joins peers opened")                \
	X(tcp_mem_limit, "refused: segment, chunk or subflow records used up")    \
	X(MPCapableSYNRX, "MP_CAPABLE SYN received")                              \
	X(MPCapableSYNTX, "MP_CAPABLE SYN sent")                                  \
	X(MPCapableSYNTXDrop, "SYNs with MP_CAPABLE vanished, tried without")      \
	X(MPCapableSYNTXDisabled, "MP_CAPABLE not tried: remembered black hole")   \
	X(Blackhole, "destinations remembered as black holes for MP_CAPABLE")     \
	X(MPCapableSYNACKRX, "MP_CAPABLE SYN/ACK received")                       \
	X(MPCapableACKRX, "MP_CAPABLE third ACK received")                        \
	X(MPCapableFallbackACK, "server-side fallback at the third ACK")          \
	X(MPCapableFallbackSYNACK, "client-side fallback at the SYN/ACK")         \
	X(MPFallbackTokenInit, "no token could be made")                          \
	X(MPTCPRetrans, "connection-level retransmissions")                       \
	X(MPJoinNoTokenFound, "MP_JOIN with unknown token")                       \
	X(MPJoinSynTx, "MP_JOIN SYN sent")                                        \
	X(MPJoinSynRx, "MP_JOIN SYN received")                                    \
	X(MPJoinSynAckRx, "MP_JOIN SYN/ACK received")                             \
	X(MPJoinSynAckHMacFailure, "MP_JOIN SYN/ACK with a wrong HMAC")           \
	X(MPJoinAckRx, "MP_JOIN ACK received")                                    \
	X(MPJoinAckHMacFailure, "MP_JOIN ACK with a wrong HMAC")                  \
	X(MPJoinRejected, "MP_JOIN refused by limits")                            \
	X(DSSNotMatching, "mapping that contradicts the one in use")              \
	X(DSSCorruptionFallback, "bad DSS, fell back to TCP")                     \
	X(DSSCorruptionReset, "bad DSS, subflow reset")                           \
	X(DSSNoMatchTCP, "data without a mapping")                                \
	X(DataCsumErr, "DSS checksum wrong")                                      \
	X(InfiniteMapRx, "infinite mapping received")                             \
	X(InfiniteMapTx, "infinite mapping sent")                                 \
	X(OFOQueue, "data queued out of order at connection level")               \
	X(OFOQueueTail, "out-of-order data queued at the tail")                   \
	X(DuplicateData, "data received a second time at connection level")       \
	X(MPCurrEstab, "MPTCP connections there are")                             \
	X(MPJoinSynBackupRx, "MP_JOIN SYN received with the backup flag")         \
	X(MPJoinSynAckBackupRx, "MP_JOIN SYN/ACK received with the backup flag")  \
	X(MPJoinPortSynRx, "MP_JOIN SYN received at an announced port")           \
	X(MPJoinPortAckRx, "MP_JOIN ACK received at an announced port")           \
	X(MPJoinPortSynAckRx, "MP_JOIN SYN/ACK received from an announced port")  \
	X(MismatchPortSynRx, "MP_JOIN SYN received at a port never announced")    \
	X(MPJoinSynTxCreatSkErr, "joins not opened: no record left")              \
	X(MPJoinSynTxBindErr, "joins not opened: no local port left")             \
	X(MPJoinSynTxConnectErr, "joins not opened: no way there, or no TCP record") \
	X(PortAdd, "ADD_ADDR received with a port")                               \
	X(AddAddrTxDrop, "ADD_ADDR not sent: no subflow, or no room in the options")\
	X(RmSubflow, "subflows left for a REMOVE_ADDR")                           \
	X(AddAddr, "ADD_ADDR received")                                           \
	X(AddAddrTx, "ADD_ADDR sent")                                             \
	X(EchoAdd, "ADD_ADDR echo received")                                      \
	X(EchoAddTx, "ADD_ADDR echo sent")                                        \
	X(AddAddrDrop, "ADD_ADDR dropped: HMAC or limits")                        \
	X(RmAddr, "REMOVE_ADDR received")                                         \
	X(RmAddrTx, "REMOVE_ADDR sent")                                           \
	X(MPPrioTx, "MP_PRIO sent")                                               \
	X(MPPrioRx, "MP_PRIO received")                                           \
	X(MPFailTx, "MP_FAIL sent")                                               \
	X(MPFailRx, "MP_FAIL received")                                           \
	X(MPFastcloseTx, "MP_FASTCLOSE sent")                                     \
	X(MPFastcloseRx, "MP_FASTCLOSE received")                                 \
	X(MPRstTx, "MP_TCPRST sent")                                              \
	X(MPRstRx, "MP_TCPRST received")                                          \
	X(MPOptBad, "malformed MPTCP option ignored")                             \
	X(RcvPruned, "data dropped: connection-level queue limit")                \
	X(pool_tight, "times the pool of packet buffers became short")            \
	X(pool_refused, "data not taken: pool short and the application stuck")   \
	X(SubflowStale, "subflow put aside as stale")                             \
	X(SubflowRecover, "stale subflow used again")                             \
	X(conn_opened, "connections established")                                 \
	X(conn_closed, "connections ended")                                       \
	X(conn_fallback, "connections that run as plain TCP")                     \
	X(app_violation, "sessions ended: application broke the channel protocol") \
	X(app_cq_full, "completions put off: application's ring full")
/* clang-format on */

struct sn_counters {
#define SN_COUNTER_FIELD(name, help) uint64_t name;
	SN_COUNTERS(SN_COUNTER_FIELD)
#undef SN_COUNTER_FIELD
};
#define SN_COUNTER_COUNT (sizeof(struct sn_counters) / sizeof(uint64_t))

#endif

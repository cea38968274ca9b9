/* One TCP segment's header and options, flat, for independent tests of the codecs. `opts` and `mp_present` are the bits
 * of enum sn_opt_bit and 1 << enum sn_mp_subtype (wire/tcp.h). */
struct sn_wire_view {
	uint32_t seq, ack;
	uint16_t sport, dport, wnd, urg;
	uint8_t flags, hdr_len, opts, wscale;
	uint16_t mss;
	uint8_t nsack, mp_bad;
	uint32_t ts_val, ts_ecr, len;
	uint32_t sack[8]; /* left, right, left, ... */
	uint16_t mp_present;
	uint8_t capable_len, capable_version, capable_flags;
	uint8_t join_len, join_backup, join_addr_id;
	uint16_t capable_data_len, capable_csum;
	uint64_t capable_sender_key, capable_receiver_key;
	uint32_t join_token, join_nonce;
	uint64_t join_hmac64;
	uint8_t join_hmac[20];
	uint32_t dss_ssn;
	uint64_t dss_ack, dss_dsn;
	uint16_t dss_len, dss_csum;
	uint8_t dss_flags;
	uint8_t add_addr_id, add_addr_echo, add_addr_family;
	uint8_t add_addr_has_port, prio_backup, rst_flags, rst_reason;
	uint16_t add_addr_port;
	uint8_t add_addr[16];
	uint64_t add_addr_hmac;
	uint8_t remove_n;
	uint8_t remove_id[16];
	uint64_t fail_dsn, fastclose_key;
	uint8_t fastopen_len, fastopen[16]; /* cookie */
};
/* sn_tcp_parse() as a view; SN_OK or SN_E_PROTO. Fields of absent options are zero. */
int32_t sn_wire_parse_tcp(const uint8_t *p, uint32_t len, struct sn_wire_view *out);
/* Header and every option that `opts` and `mp_present` name, in that order. Returns the header's length, SN_E_INVAL if a
 * field cannot be written (option forms and counts), SN_E_MSGSIZE if the options take more than 40 bytes. */
int32_t sn_wire_emit_tcp(const struct sn_wire_view *v, uint8_t out[60]);
/* An IPv6 packet up to its upper layer, and the ICMPv6 message there if it is one: echo or neighbour discovery. */
struct sn_wire_ip6_view {
	uint8_t src[16], dst[16];
	uint16_t hdr_len, total_len;
	uint8_t proto, tos, ttl;
	uint8_t type, code; /* of an ICMPv6 message with a good checksum, else 0 */
	uint8_t is_nd;      /* the fields below are set */
	uint16_t echo_id, echo_seq;
	uint8_t nd_flags, nd_has_mac;
	uint8_t nd_mac[6];
	uint8_t nd_target[16];
};
/* SN_OK, SN_E_PROTO, SN_E_AGAIN for a fragment. */
int32_t sn_wire_parse_ip6(const uint8_t *p, uint32_t len, struct sn_wire_ip6_view *out);
/* The packet that the view describes: a neighbour message if type says so, else an echo with `len` bytes of data. Returns
 * its length, SN_E_MSGSIZE if it does not fit. */
int32_t sn_wire_emit_ip6(const struct sn_wire_ip6_view *v, const uint8_t *data, uint32_t len, uint8_t *out,
			 uint32_t room);
/* Ones' complement sum of big-endian 16-bit words (RFC 1071), folded, not inverted. */
uint16_t sn_wire_sum(const uint8_t *p, uint32_t len);

/* Neighbours and our own addresses, between a worker and the control process. */
enum sn_neigh_news_kind {
	SN_NEIGH_ASKED = 1, /* the worker began to ask for this address */
	SN_NEIGH_HEARD = 2, /* mac: what it uses now, of an entry that was asked for, checked, used first, or changed */
	SN_NEIGH_SILENT = 3,  /* nobody answered: held as such from now on */
	SN_NEIGH_IN_USE = 4,  /* an entry marked as stale was sent to */
	SN_NEIGH_CONFLICT = 5 /* addr is ours (or to be), mac says that it is its own */
};
struct sn_neigh_news {
	uint8_t kind; /* enum sn_neigh_news_kind */
	uint8_t mac[6];
	uint16_t port;
	uint8_t addr[16];
};

enum sn_neigh_op {
	SN_NEIGH_PUT = 1,  /* mac was heard just now */
	SN_NEIGH_FAIL = 2, /* nobody has it: what needs it fails for hold_ms; a worker that has heard it knows better */
	SN_NEIGH_FORGET = 3, /* if nothing waits for it */
	SN_NEIGH_ASK = 4,    /* one question to an entry that is there; the answer is told */
	SN_NEIGH_STALE = 5,  /* the next use is told */
	/* Of addr, which is the port's: */
	SN_ADDR_PROBE = 6,    /* asks whether somebody has it already (RFC 5227 2.1.1, RFC 4862 5.4.2) */
	SN_ADDR_READY = 7,    /* nobody has: it is ours from now on */
	SN_ADDR_ANNOUNCE = 8, /* RFC 5227 2.3, RFC 4861 7.2.6 */
};
struct sn_neigh_order {
	uint8_t op; /* enum sn_neigh_op */
	uint8_t mac[6];
	uint16_t port;
	uint8_t addr[16];
	uint32_t hold_ms;
};

/* A way to a network that is not on a port's link. */
enum { SN_ROUTES = 16 }; /* of one port and family */
struct sn_route {
	uint8_t dst[16], via[16]; /* IPv4-mapped for IPv4 */
	uint8_t prefix;           /* bits of the network, of 32 or 128 */
};

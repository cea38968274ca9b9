/* Errors: zero or negative, the number is Linux' errno, so that a Python or C caller sees what a socket would say. */
enum sn_err {
	SN_OK = 0,
	SN_E_AGAIN = -11,
	SN_E_NOMEM = -12,
	SN_E_BUSY = -16,
	SN_E_EXIST = -17,
	SN_E_INVAL = -22,
	SN_E_NOSPC = -28,
	SN_E_PIPE = -32,
	SN_E_PROTO = -71,
	SN_E_MSGSIZE = -90,
	SN_E_NOTSUP = -95,
	SN_E_ADDRINUSE = -98,
	SN_E_ADDRNOTAVAIL = -99,
	SN_E_NETUNREACH = -101,
	SN_E_ABORTED = -103,
	SN_E_RESET = -104,
	SN_E_NOBUFS = -105,
	SN_E_NOTCONN = -107,
	SN_E_TIMEDOUT = -110,
	SN_E_REFUSED = -111,
	SN_E_HOSTUNREACH = -113
};

/* Limits that size shared structures. */
enum { SN_MAX_PORTS = 16, SN_MAX_WORKERS = 64, SN_MAX_ENDPOINTS = 16, SN_MAX_SUBFLOWS = 16 };

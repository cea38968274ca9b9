/* SPDX-License-Identifier: Apache-2.0
 *
 * The codecs as flat structs, for tests and fuzzers (include/abi/61_wire.h). The data path does not use it.
 */
#ifndef SN_WIRE_VIEW_H
#define SN_WIRE_VIEW_H

#include "sn_base.h"

#include "abi/61_wire.h"

#endif

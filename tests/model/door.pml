/* SPDX-License-Identifier: Apache-2.0
 *
 * The sleeping protocol of native/shm/door.h, with stores that reach memory late. Several producers share one flag and one
 * doorbell, as siblings of a worker do; with PRODUCERS=1 it is a channel or a control ring.
 *
 *   spin -run -safety tests/model/door.pml              no errors: nobody sleeps on a non-empty ring
 *   spin -run -safety -DNO_FENCE tests/model/door.pml   invalid end state: the lost wake-up that the fences prevent
 *   spin -run -safety -DDRAIN_LATE tests/model/door.pml invalid end state: why the doorbell is drained before the look
 */
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#define ITEMS 3
#define CONSUMER PRODUCERS

#define TAIL 0
#define FLAG 1

byte tail[PRODUCERS]; /* of each producer's ring */
bit flag;
bit bell; /* the doorbell is readable */

/* Stores on their way to memory: one queue per process, in order. The process goes on meanwhile. */
chan store[PRODUCERS + 1] = [3] of { bit, byte };

#define FULL_FENCE(me) empty(store[me])
#ifdef NO_FENCE
#define FENCE(me) skip
#else
#define FENCE(me) FULL_FENCE(me)
#endif

active [PRODUCERS + 1] proctype memory()
{
	bit where;
	byte value;

end:
	do
	:: atomic {
		store[_pid] ? where, value;
		if
		:: where == FLAG -> flag = value
		:: else -> tail[_pid] = value
		fi
	}
	od
}

active [PRODUCERS] proctype producer()
{
	byte me = _pid - (PRODUCERS + 1);
	byte i = 0;

	do
	:: i == ITEMS -> break
	:: else ->
		i++;
		store[me] ! TAIL, i;
		FENCE(me);
		if
		:: flag ->
			store[me] ! FLAG, 0;
			FULL_FENCE(me); /* the system call */
			bell = 1
		:: else
		fi
	od
}

byte seen[PRODUCERS];
byte now[PRODUCERS];
byte k;
byte total;

inline look()
{
	k = 0;
	do
	:: k == PRODUCERS -> break
	:: else -> now[k] = tail[k]; k++
	od
}

inline take()
{
	d_step {
		k = 0;
		total = 0;
		do
		:: k == PRODUCERS -> break
		:: else -> seen[k] = now[k]; total = total + now[k]; k++
		od
	}
}

inline compare()
{
	d_step {
		k = 0;
		total = 0;
		do
		:: k == PRODUCERS -> break
		:: else -> total = total + (now[k] != seen[k]); k++
		od
	}
}

active proctype consumer()
{
	do
	:: look();
	   take();
	   if
	   :: total == PRODUCERS * ITEMS -> break
	   :: else
	   fi;
	   store[CONSUMER] ! FLAG, 1;
	   FENCE(CONSUMER);
	   look();
	   compare();
	   if
	   :: total == 0 -> bell == 1 /* blocks */
	   :: else
	   fi;
	   store[CONSUMER] ! FLAG, 0;
#ifdef DRAIN_LATE
	   look();
	   take();
	   if
	   :: total == PRODUCERS * ITEMS -> break
	   :: else
	   fi;
	   store[CONSUMER] ! FLAG, 1;
	   FENCE(CONSUMER);
	   look();
	   compare();
	   bell = 0;
	   if
	   :: total == 0 -> bell == 1
	   :: else
	   fi;
	   store[CONSUMER] ! FLAG, 0;
#else
	   bell = 0
#endif
	od
}
